"""Finds shared libraries as the dynamic loader does (ld.so(8)), inside the tree of an image."""

from __future__ import annotations

import fnmatch
import posixpath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.checks.runnable_image import RunnableImage
    from pumice.formats.elf_program import ElfProgram

_DEFAULT_DIRECTORIES = ("/lib", "/usr/lib", "/lib64", "/usr/lib64")
_MAX_INCLUDES = 8


def find_library(
    image: RunnableImage, name: str, program: ElfProgram, path: str, default: tuple[str, ...]
) -> str | None:
    """Return the real path of library ``name`` that the program at ``path`` needs; None if it is missing.

    ``default`` are the directories of `default_directories`. A library that lies elsewhere in the image
    counts as found: the program that loads this one may have loaded it before.
    """
    if "/" in name:
        return image.real_path(name) if image.entry(name) else None
    origin = "/" + posixpath.dirname(path)
    own = [part.replace("$ORIGIN", origin).replace("${ORIGIN}", origin) for part in program.search_path]
    for directory in (*own, *_environment_directories(image), *default):
        candidate = f"{directory}/{name}"
        if image.entry(candidate):
            return image.real_path(candidate)
    elsewhere = image.paths_by_name.get(name)
    return image.real_path(elsewhere) if elsewhere else None


def _environment_directories(image: RunnableImage) -> list[str]:
    return [part for part in image.run.environment.get("LD_LIBRARY_PATH", "").split(":") if part]


def default_directories(image: RunnableImage) -> tuple[str, ...]:
    """Return the directories that the loader searches for every program."""
    multiarch = [
        f"{parent}/{posixpath.basename(path)}"
        for parent in ("/lib", "/usr/lib")
        for path in image.tree.children(image.tree.resolve(parent) or "\0")
        if path.count("-") >= 2 and "linux" in path and image.tree.is_directory(path)
    ]
    return (*_configured_directories(image, "/etc/ld.so.conf", 0), *multiarch, *_DEFAULT_DIRECTORIES)


def _configured_directories(image: RunnableImage, path: str, depth: int) -> Iterator[str]:
    if depth > _MAX_INCLUDES:
        return
    for line in image.read_text(path).splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("include"):
            for pattern in text.split()[1:]:
                for included in _matching_paths(image, posixpath.join(posixpath.dirname(path), pattern)):
                    yield from _configured_directories(image, included, depth + 1)
        elif text.startswith("/"):
            yield text


def _matching_paths(image: RunnableImage, pattern: str) -> list[str]:
    directory = image.tree.resolve(posixpath.dirname(pattern))
    if directory is None:
        return []
    name = posixpath.basename(pattern)
    return [
        f"/{path}"
        for path in image.tree.children(directory)
        if fnmatch.fnmatchcase(path.rpartition("/")[2], name)
    ]
