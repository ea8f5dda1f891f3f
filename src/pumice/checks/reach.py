"""Reach: the files that an image's commands load or execute, as far as the files themselves say so.

It starts with the command and the health check, and follows the interpreters, the needed libraries and
the dlopen notes of programs, ``#!`` lines, and absolute paths of programs in the text of scripts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import msgspec

from pumice.checks.libraries import default_directories, find_library
from pumice.checks.programs import Script, read_executable
from pumice.checks.units import started_programs
from pumice.formats.elf_program import ElfProgram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.checks.runnable_image import RunnableImage

_PATH_IN_TEXT = re.compile(r"(?<![\w./$}~-])(?:/[\w.+@-]+)+")
_MAX_FILES = 20_000
_MAX_PATHS_IN_TEXT = 2_000
_MAX_TEXT = 1 << 20


class ReachedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is reached; ``by`` is the path of the file that led to it, empty for a command."""

    path: str
    key: str
    by: str = ""
    executable: ElfProgram | Script | None = None


class MissingFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a reached file needs and the image does not have.

    ``name`` is as the needing file at ``by`` writes it.
    """

    name: str
    kind: Literal["loader", "library", "interpreter"]
    by: str
    key: str


class Reach(msgspec.Struct, frozen=True):
    """The reached files by path, and what they need that is missing."""

    files: dict[str, ReachedFile]
    missing: tuple[MissingFile, ...]


def commands(image: RunnableImage) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the commands of an image with the recipe's key of each."""
    if image.run.command:
        yield "run.command", image.run.command
    if image.run.health:
        yield "run.health", image.run.health


def follow_commands(image: RunnableImage) -> Reach:
    """Return what the commands of ``image`` reach."""
    walk = FileWalk(image)
    for key, words in commands(image):
        walk.add_command(words, key)
    for _, words in started_programs(image):
        program = image.find_command(words[0])
        if program is not None:
            walk.add(program, "run.command")
    walk.run()
    return Reach(walk.files, tuple(dict.fromkeys(walk.missing)))


def _argument_paths(arguments: tuple[str, ...]) -> Iterator[str]:
    """Yield the absolute paths among arguments, those after ``=`` included."""
    for argument in arguments:
        _, _, value = argument.rpartition("=")
        if value.startswith("/"):
            yield value


class FileWalk:
    """Follows files from those that were added; every file is read once.

    ``files`` are the files that were reached, by path without a slash in front; ``missing`` is what they
    need and the image does not have.
    """

    def __init__(self, image: RunnableImage) -> None:
        self.files: dict[str, ReachedFile] = {}
        self.missing: list[MissingFile] = []
        self._image = image
        self._pending: list[ReachedFile] = []
        self._quiet: set[str] = set()
        self._directories = default_directories(image)

    def add_command(self, words: tuple[str, ...], key: str) -> None:
        """Follow the program of a command, and the absolute paths among its arguments."""
        program = self._image.find_command(words[0])
        if program is not None:
            self.add(program, key)
        for path in _argument_paths(words[1:]):
            self.add(path, key)

    def add(self, path: str, key: str, by: str = "", *, is_quiet: bool = False) -> None:
        """Follow the regular file that ``path`` leads to; ignore anything else.

        With ``is_quiet``, the paths in its text do not count.
        """
        real = self._image.real_path(path)
        if real is None or real in self.files or not self._image.size(real) or len(self.files) >= _MAX_FILES:
            return
        file = ReachedFile(path=real, key=key, by=by, executable=read_executable(self._image, real))
        self.files[real] = file
        self._pending.append(file)
        if is_quiet:
            self._quiet.add(real)

    def run(self) -> None:
        """Follow files until nothing new is reached."""
        while self._pending:
            file = self._pending.pop()
            if isinstance(file.executable, ElfProgram):
                self._follow_program(file, file.executable)
            else:
                if file.executable is not None:
                    self._follow_script(file, file.executable)
                if file.path not in self._quiet:
                    self._follow_text(file)

    def _follow_program(self, file: ReachedFile, program: ElfProgram) -> None:
        if program.interpreter:
            self._require(program.interpreter, "loader", file)
        for name in program.needed:
            library = find_library(self._image, name, program, file.path, self._directories)
            if library is None:
                self._miss(name, "library", file)
            else:
                self.add(library, file.key, file.path)
        for note in program.dlopen:
            libraries = (
                find_library(self._image, name, program, file.path, self._directories)
                for name in note.sonames
            )
            library = next((path for path in libraries if path is not None), None)
            if library is not None:
                self.add(library, file.key, file.path)
            elif note.is_required:
                self._miss(note.sonames[0], "library", file)

    def _follow_script(self, file: ReachedFile, script: Script) -> None:
        self._require(script.interpreter, "interpreter", file)
        if script.env_command:
            program = self._image.find_command(script.env_command)
            if program is None:
                self._miss(script.env_command, "interpreter", file)
            else:
                self.add(program, file.key, file.path)

    def _follow_text(self, file: ReachedFile) -> None:
        if self._image.size(file.path) > _MAX_TEXT:
            return
        text = self._image.read_text(file.path, _MAX_TEXT)
        if "\0" in text[:4096]:
            return
        for path in list(dict.fromkeys(_PATH_IN_TEXT.findall(text)))[:_MAX_PATHS_IN_TEXT]:
            entry = self._image.entry(path)
            if entry is not None and entry.kind == "file" and entry.mode & 0o111:
                self.add(path, file.key, file.path)

    def _require(self, path: str, kind: Literal["loader", "interpreter"], file: ReachedFile) -> None:
        entry = self._image.entry(path)
        if entry is None or entry.kind != "file":
            self._miss(path, kind, file)
        else:
            self.add(path, file.key, file.path)

    def _miss(self, name: str, kind: Literal["loader", "library", "interpreter"], file: ReachedFile) -> None:
        self.missing.append(MissingFile(name=name, kind=kind, by=file.path, key=file.key))
