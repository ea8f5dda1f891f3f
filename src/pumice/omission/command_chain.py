"""What the commands of an image need to start: interpreters and libraries, as the loader finds them."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from pumice.omission.model import RECIPE, Use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pumice.omission.uses import FileUses, PackageUses
    from pumice.packing.segments import Segment

_COMMAND_DIRECTORIES = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin")


def find_needs(
    commands: Iterable[str],
    package_segments: Mapping[str, Segment],
    recipe_uses: PackageUses,
    read_uses: Callable[[str], PackageUses],
) -> Iterator[Use]:
    """Yield each package that a command cannot start without, with the file that needs it.

    ``commands`` are paths without a slash in front, or names of programs.
    """
    index = _FileIndex(package_segments, recipe_uses, read_uses)
    pending = [path for command in commands for path in index.find_program(command)]
    visited = set(pending)
    while pending:
        path = pending.pop()
        for needed_path in index.list_needed(path):
            if needed_path in visited:
                continue
            visited.add(needed_path)
            pending.append(needed_path)
            package = index.owners.get(needed_path)
            if package:
                user = index.owners.get(path, RECIPE)
                yield Use(package=package, user=user, file=path, thing=f"/{needed_path}")


class _FileIndex:
    """The files of packages and of the recipe, by path; what they use is read when it is asked for."""

    def __init__(
        self,
        package_segments: Mapping[str, Segment],
        recipe_uses: PackageUses,
        read_uses: Callable[[str], PackageUses],
    ) -> None:
        self.owners: dict[str, str] = {}
        self._libraries: dict[str, str] = {}
        for name, segment in package_segments.items():
            for item in segment.items:
                self.owners[item.entry.path] = name
                if ".so" in item.entry.path:
                    self._libraries[posixpath.basename(item.entry.path)] = item.entry.path
        self._files = {file.path: file for file in recipe_uses.files if file.path}
        self._read_packages: set[str] = set()
        self._read_uses = read_uses

    def find_program(self, program: str) -> list[str]:
        """Return the path of a program, as a list with at most one item."""
        if "/" in program:
            return [program]
        candidates = (f"{directory}/{program}" for directory in _COMMAND_DIRECTORIES)
        return [path for path in candidates if path in self.owners][:1]

    def list_needed(self, path: str) -> list[str]:
        """Return the paths that the file at ``path`` needs to start."""
        file = self._find_file(path)
        if file is None:
            return []
        if file.link:
            return [file.link]
        libraries = [self._libraries.get(soname, "") for soname in file.libraries]
        interpreters = self.find_program(file.interpreter) if file.interpreter else []
        return [needed_path for needed_path in (*libraries, *interpreters) if needed_path]

    def _find_file(self, path: str) -> FileUses | None:
        package = self.owners.get(path)
        if path not in self._files and package is not None and package not in self._read_packages:
            self._read_packages.add(package)
            self._files.update((file.path, file) for file in self._read_uses(package).files)
        return self._files.get(path)
