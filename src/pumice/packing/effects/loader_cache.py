"""``/etc/ld.so.cache`` and the links that ldconfig(8) would make."""

from __future__ import annotations

import fnmatch
import posixpath
from typing import TYPE_CHECKING

import msgspec

from pumice.formats import ldcache
from pumice.formats.ldcache import Library
from pumice.packing.effects.model import EffectInput, EffectResult, file_entry, link_entry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.packing.tree import GeneratedEntry, Tree

BY = "effect:ldconfig"
_CONFIGURATION = "etc/ld.so.conf"
_DEFAULT = b"include /etc/ld.so.conf.d/*.conf\n\n"
"""What libc-bin ships, for images without it."""
_MAX_INCLUDES = 16

_TRIPLETS = {
    "amd64": "x86_64-linux-gnu",
    "arm64": "aarch64-linux-gnu",
    "armel": "arm-linux-gnueabi",
    "armhf": "arm-linux-gnueabihf",
    "i386": "i386-linux-gnu",
    "loong64": "loongarch64-linux-gnu",
    "ppc64el": "powerpc64le-linux-gnu",
    "riscv64": "riscv64-linux-gnu",
}


class _Found(msgspec.Struct):
    """A library of one directory: the name it is known by, its file, and whether that is a link."""

    name: str
    file: str
    is_link: bool
    flags: int


def write_loader_cache(given: EffectInput) -> EffectResult:
    """Return the loader's cache, if the image has glibc and its architecture is known."""
    tree = given.tree
    architecture = given.settings.architecture
    libc = next((package for package in tree.packages if package.name in ("libc6", "libc6.1")), None)
    if libc is None or architecture not in _TRIPLETS:
        return EffectResult()
    generated: list[GeneratedEntry] = []
    if tree.get(_CONFIGURATION) is None:
        generated.append(file_entry(_CONFIGURATION, _DEFAULT, BY))
        tree = tree.with_entries(generated)
    libraries: list[Library] = []
    flags = ldcache.FLAGS[architecture]
    for spelt, real in _directories(tree, architecture):
        for found in _search(tree, real, flags):
            libraries.append(Library(found.name, f"{spelt}/{found.name}", found.flags))
            place = f"{real}/{found.name}"
            if not found.is_link and found.file != found.name and tree.get(place) is None:
                generated.append(link_entry(place, found.file, BY))
    cache = ldcache.encode_cache(libraries, generator(libc.version))
    return EffectResult(generated=(*generated, file_entry("etc/ld.so.cache", cache, BY)))


def generator(version: str) -> str:
    """Return how the ldconfig of a libc6 package of ``version`` names itself."""
    upstream = version.partition(":")[2] or version
    release = upstream.partition("-")[0].partition("+")[0]
    return f"ldconfig (Debian GLIBC {upstream}) stable release version {release}"


def _directories(tree: Tree, architecture: str) -> Iterable[tuple[str, str]]:
    """Yield each directory to search once: as it was first spelt, and where it really is."""
    triplet = _TRIPLETS[architecture]
    spelt = list(_configured(tree, "/" + _CONFIGURATION, 0))
    spelt += [f"/lib/{triplet}", f"/usr/lib/{triplet}", "/lib", "/usr/lib"]
    seen: set[str] = set()
    for directory in spelt:
        real = tree.resolve(directory)
        if real and real not in seen and tree.is_directory(real):
            seen.add(real)
            yield directory, real


def _configured(tree: Tree, path: str, depth: int) -> Iterable[str]:
    if not tree.is_file(path) or depth > _MAX_INCLUDES:
        return
    for raw in tree.read(path).decode("utf-8", "surrogateescape").split("\n"):
        line = raw.partition("#")[0].strip()
        if line.startswith(("include ", "include\t")):
            for pattern in line.split()[1:]:
                for included in _matching(tree, posixpath.join(posixpath.dirname(path), pattern)):
                    yield from _configured(tree, included, depth + 1)
        elif line.startswith("/"):
            yield posixpath.normpath(line.partition("=")[0].rstrip())


def _matching(tree: Tree, pattern: str) -> list[str]:
    folder = tree.resolve(posixpath.dirname(pattern))
    if folder is None:
        return []
    name = posixpath.basename(pattern)
    return [
        f"/{path}"
        for path in tree.children(folder)
        if fnmatch.fnmatchcase(posixpath.basename(path), name)
        and not posixpath.basename(path).startswith(".")
    ]


def _search(tree: Tree, directory: str, flags: dict[tuple[int, int], int]) -> Iterable[_Found]:
    """Return the libraries of one directory, one for each name (``search_dir`` of glibc's ldconfig)."""
    found: dict[str, _Found] = {}
    for path in tree.children(directory):
        name = path[len(directory) + 1 :]
        if not name.startswith(("lib", "ld-")) or ".so" not in name:
            continue
        node = tree.get(path)
        is_link = node is not None and node.entry.kind == "symlink"
        target = _real_file(tree, path)
        elf = tree.nodes[target].elf if target else None
        flag = flags.get((elf.machine, elf.bits)) if elf else None
        if elf is None or flag is None:
            continue
        soname = elf.soname or name
        # a link that does not lead to SONAME counts as a file; libx.so for the linker is one of its own
        is_link = is_link and (name == soname or (name.endswith(".so") and soname.startswith(name)))
        known = _Found(name if is_link else soname, name, is_link, flag)
        before = found.get(known.name)
        if before is None or _preferred(known, before):
            found[known.name] = known
    return found.values()


def _real_file(tree: Tree, path: str) -> str | None:
    target = tree.resolve(path)
    node = tree.nodes.get(target) if target else None
    if node is None or target is None:
        return None
    return node.entry.link if node.entry.kind == "hardlink" else target


def _preferred(one: _Found, other: _Found) -> bool:
    if one.is_link != other.is_link:
        return other.is_link
    return ldcache.compare_names(other.file, one.file) < 0
