"""Whether anything in an image needs what the recipe excludes, and whether each pattern excludes anything."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from pumice.checks.finding import Finding
from pumice.checks.libraries import default_directories, find_library
from pumice.checks.programs import Script, read_executable
from pumice.checks.reach import commands
from pumice.errors import ImageError
from pumice.formats.elf_program import ElfProgram
from pumice.packing.selection import merged_usr_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.checks.model import CheckedImage
    from pumice.packing.excluded_paths import Exclusions, Pattern

_MAX_FINDINGS = 20
_PACKAGE_NAME = re.compile("[a-z0-9][a-z0-9+.-]+")


def check_exclusions(image: CheckedImage, exclusions: Exclusions) -> Iterator[Finding]:
    """Yield a finding for each pattern that excludes nothing, and for each excluded path that is needed.

    Raises ImageError if the command or the health check cannot start without an excluded path.
    """
    _reject_needed_by_commands(image, exclusions)
    for pattern in exclusions.unused:
        yield _describe_unused(pattern)
    users: dict[str, list[str]] = {}
    for needed_path, user in _find_users(image, exclusions):
        users.setdefault(needed_path, []).append(user)
    for number, (needed_path, paths) in enumerate(sorted(users.items())):
        key = exclusions.patterns[needed_path].key
        if number == _MAX_FINDINGS:
            count = len(users) - _MAX_FINDINGS
            yield Finding(check="exclude", message=f"{count} more excluded paths are needed", key="exclude")
            break
        others = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        yield Finding(
            check="exclude",
            message=f"/{needed_path} is excluded, but needed by /{min(paths)}{others}",
            hint="exclude what needs it as well, or ignore this under 'checks'",
            key=key,
            path=needed_path,
        )


def _describe_unused(pattern: Pattern) -> Finding:
    hint = "see the paths with 'pumice files'"
    if not pattern.package and _PACKAGE_NAME.fullmatch(pattern.text):
        hint = f"to exclude the package, write '-{pattern.text}' under 'packages'"
    scope = f" of {pattern.package}" if pattern.package else ""
    return Finding(
        check="exclude",
        message=f"the pattern {pattern.text!r} matches no file{scope}",
        hint=hint,
        key=pattern.key,
    )


def _reject_needed_by_commands(image: CheckedImage, exclusions: Exclusions) -> None:
    """Raise ImageError if a command, or what it needs to start, is excluded."""
    for key, words in commands(image):
        if image.find_command(words[0]) is None:
            directories = [""] if "/" in words[0] else [f"{path}/" for path in image.search_path()]
            for directory in directories:
                path = _find_excluded(image, exclusions, f"{directory}{words[0]}")
                if path is not None:
                    raise _needed_error(path, key, exclusions)
    libraries = _list_libraries(exclusions)
    for missing in image.reach.missing:
        path = (
            libraries.get(missing.name)
            if missing.kind == "library"
            else _find_excluded(image, exclusions, missing.name)
        )
        if path is not None:
            raise _needed_error(path, f"/{missing.by}", exclusions)


def _needed_error(path: str, user: str, exclusions: Exclusions) -> ImageError:
    pattern = exclusions.patterns[path]
    return ImageError(
        f"cannot exclude /{path}: {user} needs it",
        where=pattern.where or None,
        hint=f"change the pattern {pattern.text!r} so that it does not match it",
    )


def _find_excluded(image: CheckedImage, exclusions: Exclusions, path: str) -> str | None:
    """Return the excluded path that ``path`` would lead to, its directory's links followed."""
    directory = image.tree.resolve(posixpath.dirname(path))
    resolved = posixpath.normpath(f"{directory}/{posixpath.basename(path)}" if directory else path)
    # If everything in /usr/bin is excluded, the link /bin does not resolve.
    candidates = (resolved, merged_usr_path(posixpath.normpath(path).lstrip("/")))
    return next((candidate for candidate in candidates if candidate in exclusions.patterns), None)


def _find_users(image: CheckedImage, exclusions: Exclusions) -> Iterator[tuple[str, str]]:
    """Yield the excluded paths that files of the image need, each with the path of the needing file.

    Only files that can be executed or loaded count: a library of a language may begin with ``#!``.
    """
    libraries = _ExcludedLibraries(image, exclusions)
    for path, node in image.tree.nodes.items():
        if node.entry.kind == "symlink" and image.tree.resolve(path) is None:
            needed_paths = [posixpath.join(posixpath.dirname(path), node.entry.link)]
        elif node.entry.kind == "file" and (node.entry.mode & 0o111 or ".so" in path):
            executable = read_executable(image, path)
            needed_paths = []
            if isinstance(executable, ElfProgram):
                needed_paths = libraries.find_missing(executable, path)
            elif isinstance(executable, Script) and image.entry(executable.interpreter) is None:
                needed_paths = [executable.interpreter]
        else:
            continue
        for needed_path in needed_paths:
            if (excluded := _find_excluded(image, exclusions, needed_path)) is not None:
                yield excluded, path


class _ExcludedLibraries:
    """The excluded libraries by file name."""

    def __init__(self, image: CheckedImage, exclusions: Exclusions) -> None:
        self._image = image
        self._paths = _list_libraries(exclusions)
        self._directories = default_directories(image)

    def find_missing(self, program: ElfProgram, path: str) -> list[str]:
        """Return the paths of the excluded libraries that the program at ``path`` does not find elsewhere."""
        return [
            self._paths[name]
            for name in program.needed
            if name in self._paths
            and find_library(self._image, name, program, path, self._directories) is None
        ]


def _list_libraries(exclusions: Exclusions) -> dict[str, str]:
    return {posixpath.basename(path): path for path in exclusions.patterns if ".so" in path}
