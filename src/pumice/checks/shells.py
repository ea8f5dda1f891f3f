"""Programs that run commands by system(3) or popen(3), which need ``/bin/sh``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.checks.finding import Finding
from pumice.formats.elf_program import ElfProgram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.checks.model import CheckedImage
    from pumice.checks.reach import ReachedFile

_NEED_SHELL = frozenset(
    ("erl", "git", "initdb", "make", "npm", "pg_ctl", "R", "rabbitmq-server", "varnishd", "beam.smp")
)
"""Programs that fail without a shell, sometimes with a message about something else."""


def check_shell(image: CheckedImage) -> Iterator[Finding]:
    """Yield a finding for each reached program that may run a shell, if the image has none."""
    if image.entry("/bin/sh") is not None:
        return
    for file in image.reach.files.values():
        name = file.path.rpartition("/")[2]
        if name in _NEED_SHELL:
            yield _finding(
                file, f"/{file.path} runs commands by /bin/sh, which is not in the image", is_note=False
            )
        elif _may_run_shell(file):
            yield _finding(
                file, f"/{file.path} can run commands by /bin/sh, which is not in the image", is_note=True
            )


def _may_run_shell(file: ReachedFile) -> bool:
    program = file.executable
    if not isinstance(program, ElfProgram) or program.soname.startswith("libc."):
        return False
    return program.imports("system") or program.imports("popen")


def _finding(file: ReachedFile, message: str, *, is_note: bool) -> Finding:
    return Finding(
        check="shell",
        message=message,
        hint="add dash to 'packages'",
        key=file.key,
        path=file.path,
        is_note=is_note,
    )
