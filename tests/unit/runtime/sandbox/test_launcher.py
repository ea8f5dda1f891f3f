"""The launcher that executes the program of an image."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pumice.runtime.sandbox.launcher import find_obstacle, is_own_executable, make_launcher
from pumice.runtime.sandbox.launcher_code import MACHINES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.uname().machine not in MACHINES, reason="no launcher for this machine")
REASONS = [(100 + number % 2, f"error {number}\n".encode()) for number in range(134)]
LAUNCH = """
import os, sys
descriptor, path = int(sys.argv[1]), sys.argv[2:]
os.execve(descriptor, path, {"NAME": "value"})
"""


def launch(path: str, *arguments: str) -> tuple[int, bytes, bytes]:
    """Return the exit code, the output and the reason of a launch of ``path``."""
    reader, writer = os.pipe()
    launcher = os.memfd_create("launcher", os.MFD_ALLOW_SEALING)
    kept = (launcher, writer)
    os.write(launcher, make_launcher(os.uname().machine, path, kept, writer, REASONS))
    fcntl.fcntl(launcher, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    command = [sys.executable, "-c", LAUNCH, str(launcher), *arguments]
    process = subprocess.run(command, pass_fds=kept, stdout=subprocess.PIPE, check=False)
    for descriptor in kept:
        os.close(descriptor)
    with os.fdopen(reader, "rb") as file:
        return process.returncode, process.stdout, file.read()


def test_program_has_its_arguments_and_variables_and_no_other_descriptors() -> None:
    script = 'echo "$0 $1 $NAME"; ls /proc/self/fd | wc -l; exit 7'
    assert launch("/bin/sh", "sh", "-c", script, "zero", "one") == (7, b"zero one value\n4\n", b"")


@pytest.mark.parametrize(
    ("name", "number"), [("missing", errno.ENOENT), ("text", errno.ENOEXEC), ("data", errno.EACCES)]
)
def test_error_of_the_execution_chooses_the_reason(tmp_path: Path, name: str, number: int) -> None:
    (tmp_path / "text").write_text("text")
    (tmp_path / "text").chmod(0o755)
    (tmp_path / "data").write_text("text")
    (tmp_path / "data").chmod(0o644)
    code, output, reason = launch(str(tmp_path / name), "x")
    assert (code, output, reason) == (100 + number % 2, b"", f"error {number}\n".encode())


def test_launcher_that_executes_itself_ends() -> None:
    assert launch("/proc/self/exe", "x") == (100 + errno.EBADF % 2, b"", b"")


def test_own_executable_is_known_through_links_and_scripts(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/proc/self/exe")
    (tmp_path / "script").write_text(f"#! {tmp_path / 'link'} -x\n")
    (tmp_path / "outer").write_text(f"#!{tmp_path / 'script'}\n")
    (tmp_path / "other").write_text("#!/bin/sh\n")
    (tmp_path / "circle").write_text(f"#!{tmp_path / 'circle'}\n")
    for path in tmp_path.iterdir():
        if not path.is_symlink():
            path.chmod(0o755)
    is_own = {path.name: is_own_executable(str(path)) for path in tmp_path.iterdir()}
    assert is_own == {"link": True, "script": True, "outer": True, "other": False, "circle": False}
    assert find_obstacle(str(tmp_path / "other")) is None
    assert find_obstacle(str(tmp_path / "outer")) == (
        126,
        "cannot be executed: it is the executable of the sandbox",
    )
