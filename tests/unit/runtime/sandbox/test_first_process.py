"""Process 1 of a pod, in a process namespace of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pumice.runtime.sandbox.first_process import make_filter
from tests.support import waiting

_UNSHARE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")
_REAPER = """
import os
from pumice.runtime.sandbox import signals
from pumice.runtime.sandbox.first_process import reap_orphans

signals.block_signals()
for name in ("first", "second"):
    if os.fork() == 0:
        if os.fork() == 0:
            os.execvp("cat", ["cat"])
        os._exit(0)
print("ready", flush=True)
os.close(0)
reap_orphans()
"""
_CALLS = """
import os
from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.first_process import make_filter

os.fork() or os._exit(0)
syscalls.forbid_new_privileges()
syscalls.install_seccomp_filter(make_filter(os.uname().machine))
code = 0
for call in (os.getppid, lambda: os.open("/", os.O_RDONLY), os.fork, lambda: os.kill(0, 0)):
    try:
        code += call() >= 0
    except PermissionError:
        pass
waited, _ = os.waitpid(-1, 0)
os._exit(code if waited > 0 else 99)
"""


def _children(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


def test_orphans_are_reaped_without_capabilities() -> None:
    command = [*_UNSHARE, sys.executable, "-c", _REAPER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        (first,) = _children(process.pid)
        waiting.until(lambda: len(_children(int(first))) == 2)  # their parents have been reaped
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{first}/status").read_text().splitlines())
        kept = {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
        assert set(kept.values()) == {0, 1 << 19}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        process.stdin.close()
        waiting.until(lambda: _children(int(first)) == [])
        process.kill()


def test_the_filter_allows_to_wait_and_nothing_else() -> None:
    process = subprocess.run([sys.executable, "-c", _CALLS], capture_output=True, timeout=60, check=False)
    assert (process.returncode, process.stderr) == (0, b"")


def test_a_machine_without_known_calls_has_no_filter() -> None:
    assert make_filter("pdp11") == b""
    assert make_filter(os.uname().machine)
