"""Keys of what is kept between builds: digests of all that a value depends on, its code included.

A value that was kept by other code must not be found, or an edited effect would give one image from
a store that has the old value and another from an empty one. So each kind of value names the modules
that shape it. A wheel knows the digest of each kind's modules since it was made (``tools/hatch_build.py``);
in a checkout the size and time of each file stand for its content, which takes a fraction of a
millisecond. A change elsewhere, a release above all, leaves the values as they are.

The wheel's build loads this file by itself: it needs nothing but the standard library.
"""

from __future__ import annotations

import functools
import hashlib
import os
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pumice.digest import Digest

Kind = Literal[
    "segment", "effects", "bytecode", "layer", "image", "evidence", "layer-scan", "license", "package-index"
]  # fmt: skip

_READING = ("canonical.py", "digest.py", "formats/tar.py", "formats/deb822.py")
_CUTTING = (
    *_READING,
    *("formats/compression.py", "formats/deb.py", "formats/elf.py", "formats/gzip.py"),
    *(
        "packing/names.py",
        "packing/segments.py",
        "packing/selection.py",
        "packing/segment_writer.py",
        "packing/tree.py",
    ),
)
_TREES = (
    *("canonical.py", "digest.py", "distro/", "distro/debian/", "formats/", "packing/", "packing/effects/"),
    *("packing/effects/data/", "packing/effects/scripts/", "recipe/"),
)
_OWN_FILES = (
    "assembly/draft_tree.py",
    "assembly/effect_cache.py",
    "assembly/overlay.py",
    "assembly/recipe_files.py",
)
_ALL = (*_TREES, "assembly/", "evidence/", "image/", "runtime/", "runtime/stage1/")

MODULES: dict[Kind, tuple[str, ...]] = {
    "segment": _CUTTING,  # cutting takes longest, so nothing is named here that does not cut
    "layer": (*_CUTTING, "packing/compose.py"),
    "effects": (*_TREES, *_OWN_FILES),  # effects see the recipe's own files
    "bytecode": _ALL,
    "image": _ALL,
    "evidence": _ALL,
    "layer-scan": (
        *_READING,
        "formats/apkstate.py",
        "image/layer_scan.py",
        "image/layer_links.py",
    ),
    "license": ("evidence/", "formats/"),
    "package-index": ("formats/aptindex.py", "formats/deb822.py"),
}
"""What shapes each kind, below the package's folder; a name ending with ``/`` is all files in that folder."""

DIGESTS = "code_digests.txt"
"""The file of a wheel with each kind and the digest of its modules, one a line."""

_ROOT = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - on the way of every build


def cache_key(kind: Kind, *inputs: object) -> Digest:
    """Return the key of a value of ``kind`` that is made of ``inputs`` (JSON values and structs)."""
    from pumice import canonical

    return canonical.digest_of([kind, code_version(kind), inputs])


def code_version(kind: Kind) -> str:
    """Return what differs between two versions of the code that shapes ``kind``."""
    digests = _wheel_digests(_ROOT)
    return digests[kind] if digests else _version(_ROOT, MODULES[kind], _look)


def content_digests(root: str) -> str:
    """Return the digests of the modules below ``root`` by their content: what a wheel keeps in `DIGESTS`."""
    return "".join(f"{kind} {_version(root, MODULES[kind], _content)}\n" for kind in MODULES)


@functools.lru_cache
def _wheel_digests(root: str) -> dict[str, str]:
    try:
        with open(os.path.join(root, DIGESTS), encoding="ascii") as file:  # noqa: PTH118, PTH123 - as above
            return dict(line.split() for line in file)
    except FileNotFoundError:
        return {}


@functools.lru_cache
def _version(root: str, modules: tuple[str, ...], describe: Callable[[os.DirEntry[str]], object]) -> str:
    lines = (f"{path}\0{describe(entry)}\n" for path, entry in _files(root, modules))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _files(root: str, modules: tuple[str, ...]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the files that ``modules`` stand for, with their paths below ``root``, sorted."""
    names: dict[str, set[str]] = {}
    for module in modules:
        folder, _, name = module.rpartition("/")
        names.setdefault(folder, set()).add(name)
    for folder in sorted(names):
        with os.scandir(os.path.join(root, folder)) as entries:  # noqa: PTH118 - as above
            found = {entry.name: entry for entry in entries if entry.is_file()}
        for name in sorted(found if "" in names[folder] else names[folder]):
            if not name.startswith("."):
                yield f"{folder}/{name}", found[name]


def _look(entry: os.DirEntry[str]) -> object:
    facts = entry.stat()
    return facts.st_size, facts.st_mtime_ns


def _content(entry: os.DirEntry[str]) -> object:
    with open(entry.path, "rb") as file:  # noqa: PTH123 - as above
        return hashlib.sha256(file.read()).hexdigest()
