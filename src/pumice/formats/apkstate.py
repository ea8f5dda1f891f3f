"""The database of installed packages of apk (``lib/apk/db/installed``, apk-db(5))."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

DATABASE_PATHS = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
_MAX_FILES = 2_000_000


class InstalledPackage(msgspec.Struct, frozen=True, kw_only=True):
    """One installed package; ``files`` are paths without a leading slash."""

    name: str
    version: str
    architecture: str = ""
    origin: str = ""
    license: str = ""
    maintainer: str = ""
    url: str = ""
    summary: str = ""
    depends: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def read_installed_packages(data: bytes, where: str | None = None) -> Iterator[InstalledPackage]:
    """Yield the packages of a database; raises FormatError if a stanza has no name or version."""
    for stanza in data.decode("utf-8", "replace").split("\n\n"):
        lines = [line for line in stanza.split("\n") if line]
        if lines:
            yield _parse_package(lines, where)


def _parse_package(lines: list[str], where: str | None) -> InstalledPackage:
    values: dict[str, str] = {}
    files: list[str] = []
    directory = ""
    for line in lines:
        key, _, value = line.partition(":")
        if key == "F":
            directory = value.strip("/")
        elif key == "R":
            files.append(f"{directory}/{value}" if directory else value)
        else:
            values.setdefault(key, value)
    if not values.get("P") or not values.get("V"):
        raise FormatError("a package in the apk database has no name or no version", where=where)
    if len(files) > _MAX_FILES:
        raise FormatError("a package in the apk database has too many files", where=where)
    return InstalledPackage(
        name=values["P"],
        version=values["V"],
        architecture=values.get("A", ""),
        origin=values.get("o", ""),
        license=values.get("L", ""),
        maintainer=values.get("m", ""),
        url=values.get("U", ""),
        summary=values.get("T", ""),
        depends=tuple(values.get("D", "").split()),
        provides=tuple(values.get("p", "").split()),
        files=tuple(files),
    )


def parse_dependency_name(relation: str) -> str:
    """Return the name in a dependency such as ``so:libc.so=1`` or ``busybox>=1.3``, without the version."""
    for position, letter in enumerate(relation):
        if letter in "<>=~":
            return relation[:position]
    return relation
