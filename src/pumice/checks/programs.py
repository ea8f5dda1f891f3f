"""What a file is when it is executed: an ELF program, a script, or neither (execve(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.formats.elf_program import ElfProgram, read_program

if TYPE_CHECKING:
    from pumice.checks.runnable_image import RunnableImage

_MAX_FIRST_LINE = 256  # BINPRM_BUF_SIZE of Linux


class Script(msgspec.Struct, frozen=True):
    """A file that begins with ``#!``: the interpreter and its argument, and the program that env(1) runs."""

    interpreter: str
    argument: str = ""

    @property
    def env_command(self) -> str:
        """The name of the program, if the interpreter is env(1); otherwise empty."""
        if self.interpreter.rpartition("/")[2] != "env":
            return ""
        words = self.argument.removeprefix("-S").split()
        return next((word for word in words if "=" not in word and not word.startswith("-")), "")

    @property
    def is_shell(self) -> bool:
        """Whether a Bourne shell interprets it."""
        name = (self.env_command or self.interpreter).rpartition("/")[2]
        return name in ("sh", "bash", "dash", "ash")


def read_executable(image: RunnableImage, path: str) -> ElfProgram | Script | None:
    """Return what the regular file at ``path`` is, None if the kernel cannot execute it."""
    size = image.size(path)
    head = image.read_at(path, 0, min(size, _MAX_FIRST_LINE)) if size else b""
    if head.startswith(b"#!"):
        return parse_first_line(head)
    if head.startswith(b"\x7fELF"):
        return read_program(lambda offset, length: image.read_at(path, offset, length), size)
    return None


def parse_first_line(head: bytes) -> Script | None:
    """Return the script whose first bytes are ``head``, which begins with ``#!``; None without a program."""
    line = head[2:].partition(b"\n")[0].decode("utf-8", "replace").strip(" \t")
    interpreter, _, argument = line.partition(" ")
    return Script(interpreter, argument.strip(" \t")) if interpreter else None
