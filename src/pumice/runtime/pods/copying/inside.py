"""Running a function of our own in the mount namespace of a container, where its root is ``/``."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import FormatError, PodError, PumiceError, UsageError
from pumice.runtime.pods import processes
from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.descriptors import close_others
from pumice.runtime.sandbox.guest_files import ROOT as MACHINE_ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import NoReturn

    from pumice.runtime.pods.pod_store import PodState
    from pumice.runtime.pods.records import Pod

_MAX_REASON = 1 << 14
_ERRORS: dict[str, type[PumiceError]] = {
    error.__name__: error for error in (FormatError, PodError, UsageError)
}
_NAMESPACES = (("user", syscalls.CLONE_NEWUSER), ("mnt", syscalls.CLONE_NEWNS))


class InsideJob:
    """A function that runs in another process, whose root directory is that of a container.

    It can use only what was imported before, and the descriptors ``kept``, which are closed here.
    """

    def __init__(self, state: PodState, function: Callable[[int], object], kept: Collection[int]) -> None:
        """Start it with a descriptor of the root; raises PodError if there is none."""
        if not state.pod.shares_root:
            _refuse(state, kept)
        self._reasons, writer = os.pipe()
        try:
            with processes.open_program(state) as program:
                self._pid = os.fork()
                if self._pid == 0:
                    _run(program, state.pod, function, writer, kept)
        finally:
            for descriptor in (writer, *kept):
                os.close(descriptor)

    def wait(self) -> None:
        """Wait for the end of the function; raises what it raised."""
        with os.fdopen(self._reasons, "rb") as file:
            text = file.read(_MAX_REASON).decode("utf-8", "surrogateescape")
        os.waitpid(self._pid, 0)
        if text == "done":
            return
        name, _, rest = text.partition("\n")
        message, _, hint = rest.partition("\n")
        if name not in _ERRORS:
            raise PodError("the process that copies files in the container ended unexpectedly")
        raise _ERRORS[name](message, hint=hint or None)


def _refuse(state: PodState, kept: Collection[int]) -> NoReturn:
    for descriptor in kept:
        os.close(descriptor)
    raise PodError(
        f"cannot copy: the files of the pod {state.pod.name} are in the memory of its virtual machine",
        hint="install virtiofsd, or write the files to a volume or with 'pumice exec'",
    )


def _run(
    program: int, pod: Pod, function: Callable[[int], object], writer: int, kept: Collection[int]
) -> NoReturn:
    """Enter the container, call the function, and report how it ended."""
    report = "PodError\ncannot enter the container"
    try:
        syscalls.end_with_parent()
        close_others({0, 1, 2, program, writer, *kept})
        function(_enter(program, pod))
        report = "done"
    except BrokenPipeError:  # the reader of the files has failed, and says why
        report = "done"
    except PumiceError as error:
        report = f"{type(error).__name__}\n{error.message}\n{error.hint or ''}"
    except OSError as error:
        place = f" {str(error.filename)[:200]!r}" if error.filename else ""
        report = f"PodError\ncannot copy{place} in the container: {(error.strerror or '').lower()}\n"
    except (ValueError, OverflowError, RecursionError) as error:
        report = f"FormatError\ncannot copy: {type(error).__name__}\n"
    finally:
        with suppress(OSError):
            os.write(writer, report.encode("utf-8", "surrogateescape")[:_MAX_REASON])
        os._exit(0)


def _enter(program: int, pod: Pod) -> int:
    """Enter the user and mount namespaces of a process, as root there if it has a root.

    Return the root of the container, which is another directory for the process of a virtual machine.
    """
    # Processes of the container must not be able to look into this one, which has files of the host open.
    syscalls.hide_process()
    pid = _process_id(program)
    directory = os.open(f"/proc/{pid}/cwd", os.O_PATH | os.O_CLOEXEC) if pod.stage1 == "kvm" else -1
    flags = 0
    for name, flag in _NAMESPACES:
        if Path(f"/proc/{pid}/ns/{name}").stat().st_ino != Path(f"/proc/self/ns/{name}").stat().st_ino:
            flags |= flag
    # From here on, an import would read the files of the image.
    sys.path[:] = []
    sys.meta_path[:] = []
    syscalls.join_namespaces(program, flags)
    if flags & syscalls.CLONE_NEWUSER:
        with suppress(OSError):
            os.setgroups([])
        with suppress(OSError):
            os.setresgid(0, 0, 0)
        with suppress(OSError):
            os.setresuid(0, 0, 0)
        syscalls.hide_process()  # again, because a change of user can undo it
    os.umask(0o022)
    path = MACHINE_ROOT if pod.stage1 == "kvm" else "/"
    return os.open(
        path,
        os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW,
        dir_fd=directory if directory >= 0 else None,
    )


def _process_id(descriptor: int) -> int:
    with open(f"/proc/self/fdinfo/{descriptor}") as file:  # noqa: PTH123 - a descriptor
        for line in file:
            name, _, value = line.partition(":")
            if name == "Pid" and int(value) > 0:
                return int(value)
    raise PodError("the program of the pod has ended")
