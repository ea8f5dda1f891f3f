"""Running another program in a running container, with the restrictions of the container's own program."""

from __future__ import annotations

import os
import sys

from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.capabilities import CAPABILITIES
from pumice.runtime.sandbox.devices import reopen_devices
from pumice.runtime.sandbox.errors import SetupError
from pumice.runtime.sandbox.execution import execute_as_user
from pumice.runtime.sandbox.group_members import members_path
from pumice.runtime.sandbox.lifeline import Lifeline
from pumice.runtime.sandbox.limits import prepare_limits
from pumice.runtime.sandbox.privileges import drop_privileges
from pumice.runtime.sandbox.streams import prepare_streams
from pumice.runtime.sandbox.supervision import wait_and_forward

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice.runtime.sandbox.options import Options
    from pumice.runtime.sandbox.streams import Streams

_NAMESPACES = {
    "user": syscalls.CLONE_NEWUSER,
    "mnt": syscalls.CLONE_NEWNS,
    "pid": syscalls.CLONE_NEWPID,
    "net": syscalls.CLONE_NEWNET,
    "ipc": syscalls.CLONE_NEWIPC,
    "uts": syscalls.CLONE_NEWUTS,
    "cgroup": syscalls.CLONE_NEWCGROUP,
}
_CGROUPS = "/sys/fs/cgroup"


def run_in_container(options: Options) -> int:
    """Run the program in the container of the process with the pidfd ``options.join``; return its exit code.

    Three processes, as for a new container: this one stays outside and copies streams, the second enters the
    namespaces, and the third, which is forked there, is the program.
    """
    streams = prepare_streams(options)
    prepare_limits(options)
    lifeline = Lifeline()
    child = os.fork()
    if child == 0:
        os._exit(_enter(options, streams, lifeline))
    return streams.wait_for(child)


def _enter(options: Options, streams: Streams, lifeline: Lifeline) -> int:
    lifeline.end_with_parent()
    os.umask(0o022)
    process = _process_id(options.join)
    flags = different_namespaces(process)
    _join_cgroups(process)
    # Processes of the container must not be able to look into this one, which has files of the host open.
    syscalls.hide_process()
    # From here on, an import would read the files of the image.
    sys.path[:] = []
    sys.meta_path[:] = []
    try:
        syscalls.join_namespaces(options.join, flags)
    except OSError as error:
        raise SetupError(f"cannot enter the container: {error.strerror}") from None
    child = os.fork()
    if child == 0:
        os.close(options.join)
        reopen_devices(streams.descriptors)
        drop_privileges(options)
        execute_as_user(options, streams)
    syscalls.set_capabilities([CAPABILITIES["KILL"]])
    return wait_and_forward(child)


def _process_id(descriptor: int) -> int:
    """Return the id of the process of a pidfd; raises SetupError if it has ended."""
    with open(f"/proc/self/fdinfo/{descriptor}") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name == "Pid" and int(value) > 0:
                return int(value)
    raise SetupError("the program has ended")


def different_namespaces(process: int) -> int:
    """Return the flags of those namespaces that are not this process's own, which cannot be joined again."""
    flags = 0
    for name, flag in _NAMESPACES.items():
        try:
            if os.stat(f"/proc/{process}/ns/{name}").st_ino != os.stat(f"/proc/self/ns/{name}").st_ino:
                flags |= flag
        except FileNotFoundError:
            raise SetupError("the program has ended") from None
    return flags


def _join_cgroups(process: int) -> None:
    """Move this process into the control groups of the container; raises SetupError if that is refused."""
    own_groups = _read_cgroups("self")
    for controllers, path in _read_cgroups(str(process)).items():
        if own_groups.get(controllers) == path:
            continue
        name = controllers.removeprefix("name=") or (
            "unified" if os.path.isdir(f"{_CGROUPS}/unified") else ""
        )
        try:
            with open(members_path(f"{_CGROUPS}/{name}/{path}"), "w") as file:
                file.write("0")
        except FileNotFoundError:  # not mounted here
            continue
        except OSError as error:
            raise SetupError(f"cannot enter the control group of the container: {error.strerror}") from None


def _read_cgroups(process: str) -> dict[str, str]:
    """Return the paths of a process's control groups by their controllers (cgroups(7))."""
    with open(f"/proc/{process}/cgroup") as file:
        lines = [line.rstrip("\n").split(":", 2) for line in file]
    return {controllers: path for _, controllers, path in lines}
