"""A child ends with its parent, whenever that is killed."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys
from pumice.runtime.sandbox.lifeline import Lifeline

gate, opener = os.pipe()
result, writer = os.pipe()
parent = os.fork()
if parent == 0:
    lifeline = Lifeline()
    if os.fork() == 0:
        os.close(opener)
        os.read(gate, 1)
        lifeline.end_with_parent()
        os.write(writer, b"goes on")
        signal.pause()
    signal.pause()
os.close(writer)
if sys.argv[1] == "before":
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
os.write(opener, b"x")
said = os.read(result, 100).decode()
if sys.argv[1] == "after":
    os.kill(parent, signal.SIGKILL)
    said += "," + os.read(result, 100).decode()
print(said)
"""


@pytest.mark.parametrize(("killed", "said"), [("before", ""), ("after", "goes on,")])
def test_a_child_ends_with_its_parent(killed: str, said: str) -> None:
    """In both cases, the descriptor of the child is closed in the end, so reading it does not block."""
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, killed], capture_output=True, text=True, timeout=60, check=True
    )
    assert process.stdout == f"{said}\n"


CHANGED_USER = """
import os, signal
from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.lifeline import Lifeline

gate, opener = os.pipe()
result, writer = os.pipe()
parent = os.fork()
if parent == 0:
    lifeline = Lifeline()
    if os.fork() == 0:
        os.close(opener)
        lifeline.end_with_parent(is_last=False)
        syscalls._prctl(1, 0)  # as a change of the user does
        os.write(writer, b"ready")
        os.read(gate, 1)
        lifeline.end_with_parent()
        os.write(writer, b"goes on")
        signal.pause()
    signal.pause()
os.close(writer)
assert os.read(result, 100) == b"ready"
os.kill(parent, signal.SIGKILL)
os.waitpid(parent, 0)
os.write(opener, b"x")
print(os.read(result, 100).decode())
"""


def test_a_child_that_changed_its_user_ends_with_its_parent() -> None:
    process = subprocess.run(
        [sys.executable, "-c", CHANGED_USER], capture_output=True, text=True, timeout=60, check=True
    )
    assert process.stdout == "\n"
