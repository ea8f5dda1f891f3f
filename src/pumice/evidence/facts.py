"""The facts of an image, from which all evidence documents are made.

`pumice.evidence.build_facts` gathers them from a build; `pumice.evidence.image_facts` gathers them from the
package databases and files in the layers of any image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from pumice.formats import relations
from pumice.formats.tar import Entry
from pumice.omission.model import OmittedPackage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PackageType = Literal["deb", "apk"]

RECIPE = "recipe"
"""The value of `File.by` for the recipe's own files."""
GENERATED = "generate"
"""The value of `File.by` for what the recipe's commands wrote."""


class System(msgspec.Struct, frozen=True, kw_only=True):
    """The operating system, from os-release(5) and the recipe."""

    id: str = ""
    version: str = ""
    codename: str = ""
    name: str = ""
    home: str = ""


class LayerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A layer; ``size`` is its compressed size in bytes."""

    title: str
    digest: str
    diff_id: str
    size: int
    media_type: str


class File(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A file, or one name of a hard link, with the digests of its content in hexadecimal.

    ``layer`` counts from 0; ``package`` is an index into `Facts.packages`, or -1. For a file that no package
    owns, ``by`` is its origin: `RECIPE`, the name of an effect, or empty if unknown.
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
    """An installed package. ``needs`` names its dependencies in the same image.

    ``path`` is its path in a mirror of ``archive``; digests are of the package file, in hexadecimal,
    empty if unknown. ``layer`` counts from 0. ``license`` is an SPDX expression; ``exact`` is False if
    it was gathered from prose.
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
    """The facts of an image of one platform.

    ``created`` is an RFC 3339 time, ``texts`` are license texts by their ``LicenseRef-`` id. ``complete``
    is True if nothing is missing, which only a build can know.
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
    """The recipe's own entries, directories and links included; empty for a scan."""
    complete: bool = False
    omitted: tuple[OmittedPackage, ...] = ()
    """The packages that the image leaves out although others depend on them; empty for a scan."""
    sha512: str = ""
    """The SHA-512 digest of the manifest in hexadecimal."""


def parse_os_release(text: bytes) -> System:
    """Return the fields of an os-release(5) file; malformed lines are ignored."""
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


def find_dependencies(fields: Mapping[str, Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """Return the dependencies of each package, from control fields by package name.

    Of alternatives, the first that is present by its name or by a provided name counts; a dependency
    that no package satisfies is omitted.
    """
    providers: dict[str, str] = {name: name for name in fields}
    for name in sorted(fields):
        for relation in _relations(fields[name].get("Provides", "")):
            providers.setdefault(relation[0], name)
    return {
        name: tuple(sorted(_find_needed(name, control, providers)))
        for name, control in sorted(fields.items())
    }


def _find_needed(name: str, control: Mapping[str, str], providers: Mapping[str, str]) -> set[str]:
    needed: set[str] = set()
    for field in ("Pre-Depends", "Depends"):
        for group in _relations(control.get(field, "")):
            provider = next(
                (providers[alternative] for alternative in group if alternative in providers), name
            )
            if provider != name:
                needed.add(provider)
    return needed


def _relations(field: str) -> Iterable[tuple[str, ...]]:
    from pumice.errors import FormatError

    try:
        return [tuple(relation.name for relation in group) for group in relations.parse_relations(field)]
    except FormatError:  # a malformed field of a foreign image must not prevent the document
        return []


def parse_source_field(name: str, version: str, field: str) -> tuple[str, str]:
    """Return the name and version of the source package from a ``Source`` field (deb-control(5))."""
    source, _, source_version = field.partition(" ")
    return source or name, source_version.strip(" ()") or version


def select_layer(facts: Facts, number: int) -> Facts:
    """Return the facts of one layer, counted from 0: its files and their packages."""
    files = [file for file in facts.files if file.layer == number]
    package_numbers = sorted({file.package for file in files if file.package >= 0})
    renumbered = {old: new for new, old in enumerate(package_numbers)}
    names = {facts.packages[old].name for old in package_numbers}
    packages = tuple(
        msgspec.structs.replace(
            facts.packages[old], needs=tuple(name for name in facts.packages[old].needs if name in names)
        )
        for old in package_numbers
    )
    texts = {id_ for package in packages for id_ in facts.texts if id_ in package.license}
    return msgspec.structs.replace(
        facts,
        packages=packages,
        files=tuple(
            msgspec.structs.replace(file, package=renumbered.get(file.package, -1), layer=0) for file in files
        ),
        layers=(facts.layers[number],),
        texts={id_: text for id_, text in facts.texts.items() if id_ in texts},
        complete=False,
    )
