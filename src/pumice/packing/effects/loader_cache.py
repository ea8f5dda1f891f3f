"""The effect that does the work of ldconfig(8): ``/etc/ld.so.cache`` and links to libraries."""

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

ORIGIN = "effect:ldconfig"
_CONFIGURATION = "etc/ld.so.conf"
_DEFAULT_CONFIGURATION = b"include /etc/ld.so.conf.d/*.conf\n\n"
"""The file of libc-bin, for images without that package."""
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


class _FoundLibrary(msgspec.Struct):
    """A library in a directory: the name in the cache, the file name, and whether that is a link."""

    name: str
    file: str
    is_link: bool
    flags: int


def write_loader_cache(inputs: EffectInput) -> EffectResult:
    """Return the loader's cache, if the image has glibc and the architecture is supported."""
    tree = inputs.tree
    architecture = inputs.settings.architecture
    libc = next((package for package in tree.packages if package.name in ("libc6", "libc6.1")), None)
    if libc is None or architecture not in _TRIPLETS:
        return EffectResult()
    generated: list[GeneratedEntry] = []
    if tree.get(_CONFIGURATION) is None:
        generated.append(file_entry(_CONFIGURATION, _DEFAULT_CONFIGURATION, ORIGIN))
        tree = tree.with_entries(generated)
    libraries: list[Library] = []
    flags = ldcache.FLAGS[architecture]
    for stated_path, real_path in _search_directories(tree, architecture):
        for library in _find_libraries(tree, real_path, flags):
            libraries.append(Library(library.name, f"{stated_path}/{library.name}", library.flags))
            link_path = f"{real_path}/{library.name}"
            if not library.is_link and library.file != library.name and tree.get(link_path) is None:
                generated.append(link_entry(link_path, library.file, ORIGIN))
    cache = ldcache.encode_cache(libraries, generator_name(libc.version))
    return EffectResult(generated=(*generated, file_entry("etc/ld.so.cache", cache, ORIGIN)))


def generator_name(version: str) -> str:
    """Return the name that ldconfig of libc6 ``version`` writes into the cache."""
    upstream = version.partition(":")[2] or version
    release = upstream.partition("-")[0].partition("+")[0]
    return f"ldconfig (Debian GLIBC {upstream}) stable release version {release}"


def _search_directories(tree: Tree, architecture: str) -> Iterable[tuple[str, str]]:
    """Yield each directory to search once: as first stated, and with links resolved."""
    triplet = _TRIPLETS[architecture]
    stated_paths = list(_read_configured_paths(tree, "/" + _CONFIGURATION, 0))
    stated_paths += [f"/lib/{triplet}", f"/usr/lib/{triplet}", "/lib", "/usr/lib"]
    seen_paths: set[str] = set()
    for directory in stated_paths:
        real_path = tree.resolve(directory)
        if real_path and real_path not in seen_paths and tree.is_directory(real_path):
            seen_paths.add(real_path)
            yield directory, real_path


def _read_configured_paths(tree: Tree, path: str, depth: int) -> Iterable[str]:
    if not tree.is_file(path) or depth > _MAX_INCLUDES:
        return
    for configuration_line in tree.read(path).decode("utf-8", "surrogateescape").split("\n"):
        line = configuration_line.partition("#")[0].strip()
        if line.startswith(("include ", "include\t")):
            for pattern in line.split()[1:]:
                for included in _find_matching_paths(tree, posixpath.join(posixpath.dirname(path), pattern)):
                    yield from _read_configured_paths(tree, included, depth + 1)
        elif line.startswith("/"):
            yield posixpath.normpath(line.partition("=")[0].rstrip())


def _find_matching_paths(tree: Tree, pattern: str) -> list[str]:
    directory = tree.resolve(posixpath.dirname(pattern))
    if directory is None:
        return []
    name = posixpath.basename(pattern)
    return [
        f"/{path}"
        for path in tree.children(directory)
        if fnmatch.fnmatchcase(posixpath.basename(path), name)
        and not posixpath.basename(path).startswith(".")
    ]


def _find_libraries(tree: Tree, directory: str, flags: dict[tuple[int, int], int]) -> Iterable[_FoundLibrary]:
    """Return the libraries in a directory, one for each name (``search_dir`` in glibc's ldconfig)."""
    libraries: dict[str, _FoundLibrary] = {}
    for path in tree.children(directory):
        name = path[len(directory) + 1 :]
        if not name.startswith(("lib", "ld-")) or ".so" not in name:
            continue
        node = tree.get(path)
        is_link = node is not None and node.entry.kind == "symlink"
        target = _resolve_file(tree, path)
        elf = tree.nodes[target].elf if target else None
        flag = flags.get((elf.machine, elf.bits)) if elf else None
        if elf is None or flag is None:
            continue
        soname = elf.soname or name
        # ldconfig treats a link that is not named SONAME as a file, except for a linker name such as libx.so
        is_link = is_link and (name == soname or (name.endswith(".so") and soname.startswith(name)))
        library = _FoundLibrary(name if is_link else soname, name, is_link, flag)
        existing = libraries.get(library.name)
        if existing is None or _is_preferred(library, existing):
            libraries[library.name] = library
    return libraries.values()


def _resolve_file(tree: Tree, path: str) -> str | None:
    target = tree.resolve(path)
    node = tree.nodes.get(target) if target else None
    if node is None or target is None:
        return None
    return node.entry.link if node.entry.kind == "hardlink" else target


def _is_preferred(library: _FoundLibrary, existing: _FoundLibrary) -> bool:
    if library.is_link != existing.is_link:
        return existing.is_link
    return ldcache.compare_names(existing.file, library.file) < 0
