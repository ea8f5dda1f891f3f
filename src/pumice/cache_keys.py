"""Cache keys: digests of everything that a cached value depends on, including the code that makes it.

A value that other code cached must not be used, or an edited effect would give one image from a store
that has the old value and another from an empty store. So each kind of value lists the modules that
shape it. A wheel contains the digest of each kind's modules (``tools/hatch_build.py``); in a checkout the
size and mtime of each file stand in for its content, which takes a fraction of a millisecond. A change
to other modules, such as the version of a release, keeps the cache.

The build of the wheel loads this module on its own, so it imports only the standard library.
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
    "segment", "effects", "bytecode", "generate", "layer", "image", "uses", "omission", "evidence",
    "findings", "layer-scan", "license", "package-index", "signatures",
    "slices", "aci",
]  # fmt: skip

_READING = ("canonical.py", "digest.py", "formats/tar.py", "formats/paxrecords.py", "formats/deb822.py")
_CUTTING = (
    *_READING,
    *(
        "formats/compression.py",
        "formats/deb.py",
        "formats/elf.py",
        "formats/elf_headers.py",
        "formats/gzip.py",
        "formats/lines.py",
    ),
    *(
        "packing/exclusion.py",
        "packing/names.py",
        "packing/package_cutter.py",
        "packing/package_inventory.py",
        "packing/package_lists.py",
        "packing/path_patterns.py",
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
_ALL = (
    *(*_TREES, "assembly/", "checks/", "checks/data/", "omission/", "omission/data/", "evidence/", "image/"),
    *("runtime/", "runtime/isolation/", "runtime/isolation/data/", "runtime/launch/", "runtime/quick/"),
    *("runtime/sandbox/", "runtime/stage1/"),
    *(
        "decoding.py",
        "appc/",
        "runtime/app_container/",
        "runtime/guest/",
        "runtime/network/",
        "runtime/network/keeper/",
        "runtime/pod_inputs/",
        "runtime/pods/",
        "runtime/pods/supervisor/",
        "slices/",
        "slices/starlark/",
        "runtime/volumes/",
    ),
)

MODULES: dict[Kind, tuple[str, ...]] = {
    "segment": _CUTTING,  # segments take longest to make, so this lists only what shapes them
    "layer": (*_CUTTING, "packing/compose.py"),
    "effects": (*_TREES, *_OWN_FILES),  # effects see the recipe's own files
    "uses": (*_TREES, "checks/", "checks/data/", "omission/", "omission/data/"),
    "omission": _ALL,
    "bytecode": _ALL,
    "generate": _ALL,
    "image": _ALL,
    "evidence": _ALL,
    "layer-scan": (
        *_READING,
        "formats/apkstate.py",
        "image/layer_scan.py",
        "image/layer_links.py",
        "appc/streams.py",
    ),
    "findings": (*_TREES, "checks/", "checks/data/"),
    "license": ("evidence/", "formats/"),
    "aci": ("appc/", "canonical.py", "digest.py", "formats/", "image/", "image/transports/"),
    "signatures": (
        "appc/streams.py",
        "canonical.py",
        "decoding.py",
        "digest.py",
        "formats/",
        "image/",
        "image/transports/",
        "registry/",
        "trust/",
    ),
    "slices": ("decoding.py", "digest.py", "formats/", "packing/", "slices/"),
    "package-index": ("formats/aptindex.py", "formats/deb822.py"),
}
"""The modules that shape each kind, below the package; a name ending with ``/`` is a whole directory."""

DIGESTS = "code_digests.txt"
"""The file in a wheel that lists each kind and the digest of its modules, one per line."""

_ROOT = os.path.dirname(os.path.abspath(__file__))


def cache_key(kind: Kind, *inputs: object) -> Digest:
    """Return the key of a value of ``kind`` that is made from ``inputs`` (JSON values and structs)."""
    from pumice import canonical

    return canonical.digest_of([kind, code_version(kind), inputs])


def code_version(kind: Kind) -> str:
    """Return a text that identifies the code that shapes ``kind``."""
    digests = _read_wheel_digests(_ROOT)
    return digests[kind] if digests else _hash_files(_ROOT, MODULES[kind], _make_stat_stamp)


def content_digests(root: str) -> str:
    """Return the text of `DIGESTS`: each kind with the digest of its modules below ``root``."""
    return "".join(
        f"{kind} {_hash_files(root, MODULES[kind], _compute_content_digest)}\n" for kind in MODULES
    )


@functools.lru_cache
def _read_wheel_digests(root: str) -> dict[str, str]:
    try:
        with open(os.path.join(root, DIGESTS), encoding="ascii") as file:
            return dict(line.split() for line in file)
    except FileNotFoundError:
        return {}


@functools.lru_cache
def _hash_files(root: str, modules: tuple[str, ...], describe: Callable[[os.DirEntry[str]], object]) -> str:
    lines = (f"{path}\0{describe(entry)}\n" for path, entry in _list_files(root, modules))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _list_files(root: str, modules: tuple[str, ...]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the files that ``modules`` lists, with their paths relative to ``root``, sorted."""
    names: dict[str, set[str]] = {}
    for module in modules:
        folder, _, name = module.rpartition("/")
        names.setdefault(folder, set()).add(name)
    for folder in sorted(names):
        with os.scandir(os.path.join(root, folder)) as entries:
            entries_by_name = {entry.name: entry for entry in entries if entry.is_file()}
        for name in sorted(entries_by_name if "" in names[folder] else names[folder]):
            if not name.startswith("."):
                yield f"{folder}/{name}", entries_by_name[name]


def _make_stat_stamp(entry: os.DirEntry[str]) -> object:
    status = entry.stat()
    return status.st_size, status.st_mtime_ns


def _compute_content_digest(entry: os.DirEntry[str]) -> object:
    with open(entry.path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()
