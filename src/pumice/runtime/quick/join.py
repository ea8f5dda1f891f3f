"""The short way of ``pumice exec``: a program in a running pod, without loading what reads its records."""

from __future__ import annotations

import os

from pumice.errors import PumiceError
from pumice.runtime.launch import execution, forking
from pumice.runtime.launch.model import Start
from pumice.runtime.pods import pod_lock
from pumice.runtime.pods.supervisor import frozen, process_tree
from pumice.runtime.quick.circumstances import SWITCH
from pumice.runtime.sandbox.argument_codec import decode_arguments
from pumice.store.location import find_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_FLAGS = ("-i", "-t", "-it", "-ti", "--interactive", "--tty")
_MAX_PLAN = 64 << 20
_MAX_RECORD = 1 << 22


class _RunningPod:
    """What is needed of a running pod: its directory, its supervisor, and how its processes are nested."""

    def __init__(self, directory: str, supervisor: int, has_init: bool, depth: int) -> None:
        self.directory = directory
        self.supervisor = supervisor
        self.has_init = has_init
        self.depth = depth

    def find_program(self) -> int | None:
        """Return the number of the program, None if it has ended."""
        return process_tree.find_program(self.supervisor, self.depth, self.has_init)


def exec_in_pod(words: Sequence[str]) -> int | None:
    """Run the program that the words after ``exec`` name, and return its exit code.

    Returns None, without having done anything, unless they are the whole name or id of a running pod, and a
    program with arguments. It has the restrictions of the pod's own program, as `pods.execute` says. Raises
    SandboxError if the program cannot be started.
    """
    words = list(words)
    while words and words[0] in _FLAGS:
        del words[0]
    is_usual = len(words) > 1 and not words[0].startswith("-") and not words[1].startswith("-")
    if not is_usual or os.environ.get(SWITCH) == "0" or (os.isatty(0) and os.isatty(1)):
        return None
    try:
        pod = _find_pod(words[0])
        start = _open_start(pod, words[1:]) if pod is not None else None
    except (OSError, ValueError, PumiceError):
        return None
    if start is None:
        return None
    execution.block_signals()
    return execution.wait_for_sandbox(forking.fork_sandbox(start))


def _find_pod(name: str) -> _RunningPod | None:
    """Return the running pod with this name or id, None if it is not found; raises OSError and ValueError."""
    pods = f"{find_directory(os.environ)}/pods"
    if os.stat(pods).st_uid != os.geteuid():
        return None  # the usual way says whether this user may use another user's store
    for pod_id in os.listdir(pods):
        record = _read(f"{pods}/{pod_id}/pod.json", _MAX_RECORD)
        if not record.startswith(b'{"id":"%b","name":"%b",' % (pod_id.encode(), name.encode())):
            continue
        directory = f"{pods}/{pod_id}"
        # In JSON, neither a key nor a string can contain these bytes.
        has_init, is_builtin = b',"init":true,' in record, b',"stage1":"builtin",' in record
        if b',"stage1":"kvm",' in record:
            return None
        # The usual way says why a pod that has ended or is paused runs no program.
        is_usual = not any(os.path.exists(f"{directory}/{name}") for name in ("ended", frozen.NAME))
        if not is_usual or not pod_lock.is_locked(directory):
            return None
        started = _read(f"{directory}/started", _MAX_RECORD)
        supervisor = int(started.partition(b'"supervisor": ')[2].partition(b",")[0])
        return _RunningPod(directory, supervisor, has_init, 1 if has_init and is_builtin else 2)
    return None


def _open_start(pod: _RunningPod, program: Sequence[str]) -> Start | None:
    """Return the start of a program in a pod, None if the pod's own has ended; raises OSError, ValueError."""
    plan = decode_arguments(_read(f"{pod.directory}/plan", _MAX_PLAN))
    own_program = pod.find_program()
    if own_program is None:
        return None
    descriptors = [os.pidfd_open(own_program)]
    # If it is still the program now, then the descriptor cannot be that of another process.
    if pod.find_program() != own_program:
        os.close(descriptors[0])
        return None
    options = [*plan, "--join", str(descriptors[0])]
    try:
        descriptors.append(os.open(f"{pod.directory}/filter", os.O_RDONLY | os.O_CLOEXEC))
        options += ["--seccomp", str(descriptors[1])]
    except FileNotFoundError:
        pass
    return Start(options, program, descriptors)


def _read(path: str, limit: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(limit)
