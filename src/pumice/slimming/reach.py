"""What the programs of an image can reach: from their commands, by what files name, and from traced runs.

Programs, scripts and libraries lead to what they are linked with, and to the files that they name by their
paths. A file that names a directory and a name in it leads to that, too; a program or script that names
a directory of its own leads to all of it. Interpreters lead to their modules (``data/companions.tsv``).
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import msgspec

from pumice.checks.reach import FileWalk, commands
from pumice.checks.units import started_programs
from pumice.formats.elf_program import ElfProgram
from pumice.omission.tables import is_unused_path
from pumice.omission.uses import PROGRAM_DIRECTORIES, is_ignored
from pumice.slimming import tables
from pumice.slimming.names import MAX_SIZE, NamesInFile, find_names, find_relative_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pumice.checks.reach import ReachedFile
    from pumice.checks.runnable_image import RunnableImage

_ACCOUNTS = frozenset(
    f"etc/{name}" for name in ("passwd", "group", "shadow", "gshadow", "shells", "ld.so.cache")
)
"""Files of an image that name programs which they do not start."""
_MAX_TEXT = 1 << 20
_MAX_BELOW = 50_000
"""Files in a directory among which names are looked for."""


class EntryPoints(msgspec.Struct, frozen=True, kw_only=True):
    """Where an image is entered, besides its command and health check.

    ``commands`` are those of tests and of the command line. ``traced`` are absolute paths that traced
    runs used, and ``named`` the packages that the recipe names.
    """

    commands: tuple[tuple[str, ...], ...] = ()
    traced: tuple[str, ...] = ()
    named: frozenset[str] = frozenset()


def find_reach(image: RunnableImage, owners: Mapping[str, str], entry_points: EntryPoints) -> dict[str, str]:
    """Return the paths that stay in an image, each with the reason; ``owners`` are the packages of paths.

    A package that the recipe names and of which nothing is reached stays as it is.
    """
    search = _Search(image, owners)
    search.add_entry_points(entry_points)
    search.run()
    for name in sorted(entry_points.named - search.reached_packages()):
        search.keep_package(name)
    search.run()
    search.add_links()
    return search.kept


class _Search:
    """The state of the search: the files that stay so far, and those whose names were not followed yet."""

    def __init__(self, image: RunnableImage, owners: Mapping[str, str]) -> None:
        self.kept: dict[str, str] = {}
        self._image = image
        self._owners = owners
        self._walk = FileWalk(image)
        self._examined: set[str] = set()
        self._quiet: set[str] = set()
        """Files that stay with their directory: what they are linked with stays, what they name does not."""
        self._texts: list[str] = []
        self._files_of: dict[str, list[str]] = {}
        for path, name in owners.items():
            self._files_of.setdefault(name, []).append(path)
        for path in image.tree.nodes:
            reason = tables.find_keep_reason(path) if path in owners else "no package has it"
            if reason:
                self.kept[path] = reason

    def add_entry_points(self, entry_points: EntryPoints) -> None:
        for key, words in commands(self._image):
            self._walk.add_command(words, key)
        for words in entry_points.commands:
            self._walk.add_command(words, "a test or a command")
        for unit, words in started_programs(self._image):
            self._walk.add_command(words, unit)
        for path in entry_points.traced:
            real = self._image.real_path(path)
            if real and self._image.size(real):
                self.kept.setdefault(real, "a traced run used it")
                self._walk.add(real, "a traced run")
        for path, node in self._image.tree.nodes.items():
            if path not in self._owners and node.entry.kind == "file" and self._is_own_text(path):
                self._walk.add(path, "files")
                self._texts.append(path)
        self._add_environment()

    def _is_own_text(self, path: str) -> bool:
        return path not in _ACCOUNTS and not path.startswith("var/lib/dpkg/") and not is_ignored(path)

    def _add_environment(self) -> None:
        environment = self._image.run.environment
        for name in ("LANG", "LC_ALL", "LC_CTYPE"):
            if environment.get(name):
                self._keep_directory(f"usr/lib/locale/{environment[name]}", f"{name} names it")
        if environment.get("TZ"):
            self._keep_path(f"usr/share/zoneinfo/{environment['TZ'].lstrip(':')}", "TZ names it")
        for line in self._image.read_text("/etc/nsswitch.conf").splitlines():
            for service in line.partition(":")[2].split():
                self._keep_library(f"libnss_{service}.so.2", "/etc/nsswitch.conf names it")

    def run(self) -> None:
        """Follow files until nothing new is reached."""
        while True:
            self._walk.run()
            new = [file for path, file in self._walk.files.items() if path not in self._examined]
            if not new and not self._texts:
                return
            for file in new:
                reason = f"/{file.by} needs it" if file.by else f"{file.key} starts it"
                self.kept.setdefault(file.path, reason)
            for file in new:
                self._examined.add(file.path)
                self._follow_file(file)
            texts, self._texts = self._texts, []
            for path in texts:
                self._follow_names(path, is_program=True)

    def reached_packages(self) -> set[str]:
        """Return the packages of which more than configuration stays."""
        return {self._owners[path] for path in self.kept if path in self._owners and not is_passive(path)}

    def keep_package(self, name: str) -> None:
        """Let all files of a package stay, because the recipe names it."""
        for path in self._files_of.get(name, ()):
            self._keep_below(path, f"the recipe names {name}")

    def add_links(self) -> None:
        """Let the links to what stays stay, and all names of a file with several."""
        resolve = self._image.tree.resolve
        directories = {parent for path in self.kept for parent in _parents(path)}
        for path, node in self._image.tree.nodes.items():
            if path in self.kept or node.entry.kind not in ("symlink", "hardlink"):
                continue
            target = node.entry.link if node.entry.kind == "hardlink" else resolve(path)
            if target is not None and (target in self.kept or target in directories):
                self.kept[path] = f"it leads to /{target}"
        for path, node in self._image.tree.nodes.items():
            if node.entry.kind == "hardlink" and path in self.kept:
                self.kept.setdefault(node.entry.link, f"/{path} is another name of it")

    def _follow_file(self, file: ReachedFile) -> None:
        package = self._owners.get(file.path)
        if package is not None and not is_passive(file.path):
            self._texts += self._take_configuration(package)
        for directories in tables.find_companions(file.path):
            self._keep_companions(directories, file.path)
        if file.path not in self._quiet:
            library = isinstance(file.executable, ElfProgram) and ".so" in file.path
            self._follow_names(file.path, is_program=not library)

    def _take_configuration(self, package: str) -> list[str]:
        """Return the configuration files of a package that is used, once."""
        key = f"{package} configuration"
        if key in self._examined:
            return []
        self._examined.add(key)
        paths = self._files_of.get(package, ())
        return [path for path in paths if path.startswith("etc/") and not is_ignored(path)]

    def _follow_names(self, path: str, *, is_program: bool) -> None:
        """Follow the names in a file; ``is_program``: directories that it names are its own."""
        size = self._image.size(path)
        head = self._image.read_at(path, 0, min(size, 4096)) if size else b""
        is_elf = head.startswith(b"\x7fELF")
        if not 0 < size <= (MAX_SIZE if is_elf else _MAX_TEXT) or (b"\0" in head and not is_elf):
            return
        data = self._image.read_at(path, 0, size)
        directories = self._follow_paths(path, find_names(data), is_elf=is_elf)
        if is_program:
            for directory in directories:
                self._keep_directory(directory, f"/{path} names its directory")
        elif directories:
            self._follow_relative_names(path, directories, find_relative_names(data))

    def _follow_paths(self, path: str, names: NamesInFile, *, is_elf: bool) -> list[str]:
        """Follow the files that a file names; return the directories that it names, without common ones."""
        directories: list[str] = []
        owner = self._owners.get(path, "")
        for name in sorted(names.paths):
            real = self._image.real_path(name)
            if real is None or not real:
                continue
            if self._image.tree.is_directory(real):
                if not tables.is_common_directory(real):
                    directories.append(real)
            elif not (is_elf and real.startswith(PROGRAM_DIRECTORIES) and is_unused_path(owner, real)):
                self._keep_path(name, f"/{path} names it")
        for soname in sorted(names.sonames):
            self._keep_library(soname, f"/{path} names it")
        return directories

    def _follow_relative_names(self, path: str, directories: Sequence[str], names: frozenset[bytes]) -> None:
        for directory in directories:
            for below in self._list_below(directory):
                if below[len(directory) + 1 :].encode() in names:
                    self._keep_path(below, f"/{path} names it and its directory")

    def _keep_library(self, soname: str, reason: str) -> None:
        library = self._image.paths_by_name.get(soname)
        if library is not None:
            self._keep_path(library, reason)

    def _keep_path(self, path: str, reason: str) -> None:
        """Let a file stay, and follow it."""
        real = self._image.real_path(path)
        node = self._image.tree.nodes.get(real) if real else None
        if real and node is not None and node.entry.kind == "file":
            self.kept.setdefault(real, reason)
            if real not in _ACCOUNTS:
                self._walk.add(real, reason)

    def _keep_directory(self, directory: str, reason: str) -> None:
        for path in self._list_below(directory):
            self._keep_below(path, reason)

    def _keep_below(self, path: str, reason: str) -> None:
        """Let a file stay because of its directory; only what it is linked with stays with it."""
        self.kept.setdefault(path, reason)
        entry = self._image.tree.nodes[path].entry
        if entry.kind == "file" and path not in self._walk.files and (entry.mode & 0o111 or ".so" in path):
            self._quiet.add(path)
            self._walk.add(path, reason, is_quiet=True)

    def _keep_companions(self, patterns: Iterable[str], path: str) -> None:
        excluded = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
        for pattern in patterns:
            if pattern.startswith("!"):
                continue
            for directory in self._match_directories(pattern):
                for below in self._list_below(directory):
                    if not any(fnmatchcase(below, f"{other}/*") for other in excluded):
                        self._keep_below(below, f"/{path} may load it")

    def _match_directories(self, pattern: str) -> list[str]:
        """Return the directories of the image that match a pattern, each of whose parts matches one name."""
        directories = [""]
        for part in pattern.split("/"):
            directories = [
                child
                for directory in directories
                for child in self._image.tree.children(directory)
                if fnmatchcase(child.rpartition("/")[2], part)
            ]
        return directories

    def _list_below(self, directory: str) -> list[str]:
        """Return the paths of files and links below a directory."""
        paths: list[str] = []
        pending = [directory]
        while pending and len(paths) < _MAX_BELOW:
            for child in self._image.tree.children(pending.pop()):
                node = self._image.tree.nodes.get(child)
                if node is None or node.entry.kind == "dir":
                    pending.append(child)
                else:
                    paths.append(child)
        return paths


def is_passive(path: str) -> bool:
    """Whether a path stays in any case, so that it says nothing about the use of its package."""
    return bool(tables.find_keep_reason(path)) or path.startswith("usr/share/doc/")


def _parents(path: str) -> Iterable[str]:
    while path := path.rpartition("/")[0]:
        yield path
