"""What a program inherits from whoever starts the sandbox: the standard streams, and nothing else."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.runtime import sandbox
from pumice.runtime.sandbox.errors import NOT_FOUND, SETUP_FAILED
from tests.support import images

PROGRAM = Path(sandbox.__file__).parent / "__main__.py"
HIGH = 40
LOWER_LIMIT = ("sh", "-c", 'ulimit -S -n 20; exec "$@"', "sh")
LIST_DESCRIPTORS = "cd /proc/self/fd && echo *"
"""A shell command without another process, and so without the descriptors that another one would have."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shell = tmp_path / "root/bin/sh"
    shell.parent.mkdir(parents=True)
    shell.write_bytes(images.busybox())
    shell.chmod(0o755)
    return tmp_path / "root"


@pytest.fixture
def host_file(tmp_path: Path) -> Iterator[int]:
    """A file of the host that the caller has open, with a high number."""
    path = tmp_path / "secret"
    path.write_text("secret")
    with path.open() as file:
        descriptor = fcntl.fcntl(file.fileno(), fcntl.F_DUPFD, HIGH)
    yield descriptor
    os.close(descriptor)


def sandbox_command(root: Path, *options: str) -> list[str]:
    return [sys.executable, "-I", "-S", str(PROGRAM), "--root", str(root), *options]


@pytest.mark.parametrize(
    "starter", [(), ("sh", "-c", 'ulimit -S -n 20; exec "$@"', "sh")], ids=["", "ulimit"]
)
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--init",),
        ("--fly",),
        ("--rlimit", "7", "8", "8"),
        ("--init", "--rlimit", "7", "8", "8"),
        ("--fly", "--rlimit", "7", "8", "8"),
    ],
    ids=" ".join,
)
def test_a_program_inherits_nothing_but_its_streams(
    root: Path, host_file: int, options: tuple[str, ...], starter: tuple[str, ...]
) -> None:
    """Also with a limit of open files that is lower than the number of an open one."""
    command = [*starter, *sandbox_command(root, *options), "--", "/bin/sh", "-c", LIST_DESCRIPTORS]
    listed = subprocess.run(
        command, capture_output=True, text=True, pass_fds=[host_file], timeout=60, check=False
    )
    own = {"3"}  # with which the shell lists the directory
    assert (set(listed.stdout.split()) - own, listed.stderr) == ({"0", "1", "2"}, "")


def test_sockets_are_passed_also_if_few_files_may_be_open(root: Path) -> None:
    options = ("--network", "none", "--listen", "web", "tcp", "8080", "--rlimit", "7", "10", "10")
    script = 'echo "$LISTEN_FDS $LISTEN_FDNAMES"; ' + LIST_DESCRIPTORS
    command = [*sandbox_command(root, *options), "--", "/bin/sh", "-c", script]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    passed, descriptors = listed.stdout.splitlines()
    assert (passed, set(descriptors.split()) - {"4"}) == ("1 web", {"0", "1", "2", "3"})


def test_a_reason_that_nobody_can_read_does_not_change_the_exit_code(root: Path) -> None:
    command = [*sandbox_command(root, "--status-fd", "77"), "--", "/none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (NOT_FOUND, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to give up")
def test_capabilities_that_cannot_be_given_up_end_the_sandbox(root: Path) -> None:
    starter = ("setpriv", "--bounding-set", "-setpcap", "--inh-caps", "-all")
    command = [*starter, *sandbox_command(root, "--fly"), "--", "/bin/sh", "-c", ":"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == SETUP_FAILED
    assert "Operation not permitted: 'capability 2'" in done.stderr
