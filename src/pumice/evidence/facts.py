"""What an image is made of: the one value that every document about it is written from.

It is filled by the build, which knows all of it (`pumice.evidence.build_facts`), or for an image of anybody's
by reading the package databases and files in its layers (`pumice.evidence.image_facts`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from pumice.formats import relations
from pumice.formats.tar import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PackageType = Literal["deb", "apk"]

RECIPE = "recipe"
"""What `File.by` says of the recipe's own files."""


class System(msgspec.Struct, frozen=True, kw_only=True):
    """The operating system by its os-release(5), completed by what the recipe says."""

    id: str = ""
    version: str = ""
    codename: str = ""
    name: str = ""
    home: str = ""


class LayerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One layer; ``size`` is bytes as it lies."""

    title: str
    digest: str
    diff_id: str
    size: int
    media_type: str


class File(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One file of the image with its content's digests in hexadecimal; hard links each count.

    ``layer`` counts from 0; ``package`` is a position in `Facts.packages` or -1; ``by`` is what put a
    file of no package there, `RECIPE` or an effect, empty where nobody knows.
    """

    path: str
    size: int
    layer: int
    sha256: str
    sha1: str
    package: int = -1
    by: str = ""
    executable: bool = False


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """One installed package. ``needs`` are names of packages of the same image.

    ``path`` is where it lies in a mirror of ``archive``; digests are of the package file, in
    hexadecimal, empty where it is not known. ``layer`` counts from 0. ``license`` is an SPDX
    expression, ``exact`` false where it was gathered from prose.
    """

    type: PackageType
    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    maintainer: str = ""
    originator: str = ""
    homepage: str = ""
    summary: str = ""
    license: str = "NOASSERTION"
    exact: bool = True
    needs: tuple[str, ...] = ()
    layer: int = 0
    role: str = ""
    archive: str = ""
    path: str = ""
    size: int = 0
    sha256: str = ""
    sha512: str = ""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """An image of one platform. ``created`` is RFC 3339; ``texts`` are licenses by ``LicenseRef-``.

    ``complete`` says that whoever filled it knows that nothing is missing.
    """

    name: str
    version: str
    digest: str
    size: int
    media_type: str
    config: str
    platform: str
    architecture: str
    created: str
    system: System
    packages: tuple[Package, ...]
    layers: tuple[LayerFacts, ...]
    files: tuple[File, ...]
    texts: dict[str, str]
    annotations: dict[str, str] = {}
    own: tuple[Entry, ...] = ()
    """The recipe's own entries, folders and links included; empty for a scan."""
    complete: bool = False
    sha512: str = ""
    """Of the manifest, in hexadecimal."""


def os_release(text: bytes) -> System:
    """Return what an os-release(5) file says, as far as it can be read."""
    values: dict[str, str] = {}
    for line in text[: 1 << 16].decode("utf-8", "replace").split("\n"):
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            values.setdefault(name, value.strip("\"'")[:200])
    return System(
        id=values.get("ID", ""),
        version=values.get("VERSION_ID", ""),
        codename=values.get("VERSION_CODENAME", ""),
        name=values.get("PRETTY_NAME", ""),
        home=values.get("HOME_URL", ""),
    )


def edges(fields: Mapping[str, Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """Return which packages each package needs, out of control fields by package name.

    Of alternatives the first that is in the set counts, by its name or by what it provides; a
    dependency that nothing here meets has no edge.
    """
    providers: dict[str, str] = {name: name for name in fields}
    for name in sorted(fields):
        for relation in _relations(fields[name].get("Provides", "")):
            providers.setdefault(relation[0], name)
    return {
        name: tuple(sorted(_needed(name, control, providers))) for name, control in sorted(fields.items())
    }


def _needed(name: str, control: Mapping[str, str], providers: Mapping[str, str]) -> set[str]:
    found: set[str] = set()
    for field in ("Pre-Depends", "Depends"):
        for group in _relations(control.get(field, "")):
            present = next((providers[other] for other in group if other in providers), name)
            if present != name:
                found.add(present)
    return found


def _relations(field: str) -> Iterable[tuple[str, ...]]:
    from pumice.errors import FormatError

    try:
        return [tuple(relation.name for relation in group) for group in relations.parse_relations(field)]
    except FormatError:  # a foreign image's field: better no edge than no document
        return []


def source_of(name: str, version: str, field: str) -> tuple[str, str]:
    """Return source package and version that a ``Source`` field (deb-control(5)) stands for."""
    source, _, rest = field.partition(" ")
    return source or name, rest.strip(" ()") or version


def of_layer(facts: Facts, number: int) -> Facts:
    """Return the part of an image that one layer has, counted from 0: its files and their packages."""
    files = [file for file in facts.files if file.layer == number]
    kept = sorted({file.package for file in files if file.package >= 0})
    moved = {old: new for new, old in enumerate(kept)}
    names = {facts.packages[old].name for old in kept}
    packages = tuple(
        msgspec.structs.replace(
            facts.packages[old], needs=tuple(name for name in facts.packages[old].needs if name in names)
        )
        for old in kept
    )
    texts = {id_ for package in packages for id_ in facts.texts if id_ in package.license}
    return msgspec.structs.replace(
        facts,
        packages=packages,
        files=tuple(
            msgspec.structs.replace(file, package=moved.get(file.package, -1), layer=0) for file in files
        ),
        layers=(facts.layers[number],),
        texts={id_: text for id_, text in facts.texts.items() if id_ in texts},
        complete=False,
    )
