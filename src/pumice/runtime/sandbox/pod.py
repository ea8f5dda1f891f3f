"""The namespaces that the apps of a pod share: a process that holds them, and the way into them."""

from __future__ import annotations

import os

from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.descriptors import close_inherited, close_others
from pumice.runtime.sandbox.first_process import reap_orphans
from pumice.runtime.sandbox.lifeline import Lifeline
from pumice.runtime.sandbox.network import announce_namespace, namespace_flag, wait_for_network
from pumice.runtime.sandbox.shifted_root import become_root
from pumice.runtime.sandbox.supervision import wait_and_forward
from pumice.runtime.sandbox.syscalls import (
    CLONE_NEWIPC,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
)
from pumice.runtime.sandbox.user_namespace import (
    enter_namespaces,
    enter_user_namespace,
    join_user_namespace,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from pumice.runtime.sandbox.options import Options
    from pumice.runtime.sandbox.user_namespace import Sources

_SHARED = CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS


def hold_namespaces(options: Options) -> int:
    """Create the namespaces of a pod, and hold them until this process is killed.

    When they are ready, the number of the process that apps join is written to ``options.exec_fd``.
    """
    options.shifted = os.geteuid() == 0 and bool(options.maps["uid"])
    flags = _SHARED | namespace_flag(options)
    if options.only_root and not options.shifted:
        enter_namespaces(options, flags)
    else:
        enter_user_namespace(options, flags)
    announce_namespace(options)
    lifeline, machine_lifeline = Lifeline(), Lifeline()
    child = os.fork()
    if child == 0:
        _become_first_process(options, lifeline)
    wait_for_network(options)
    os.write(options.exec_fd, b"%d\n" % child)
    os.close(options.exec_fd)
    if options.guest_ports:
        from pumice.runtime.sandbox.guest_holder import serve_machine

        serve_machine(options, machine_lifeline)
    os.waitpid(child, 0)
    return 1


def join_pod(options: Options, sources: Sources) -> None:
    """Enter the namespaces of the pod whose process has the pidfd ``options.pod``; raises SetupError."""
    # Programs of the host that root starts need its rights, so then the pod has no user namespace.
    has_users = not options.only_root or options.shifted or os.geteuid() != 0
    flags = _SHARED | namespace_flag(options) | (CLONE_NEWUSER if has_users else 0)
    join_user_namespace(options, flags, sources)
    os.close(options.pod)


def run_as_first_process(options: Options, run: Callable[[], int]) -> int:
    """Call ``run`` as process 1 of a namespace below that of the pod; return its result.

    The process 1 of the pod is not the init of an app.
    """
    syscalls.unshare(CLONE_NEWPID)
    lifeline = Lifeline()
    child = os.fork()
    if child == 0:
        lifeline.end_with_parent()
        os._exit(run())
    close_inherited(options)
    return wait_and_forward(child)


def _become_first_process(options: Options, lifeline: Lifeline) -> NoReturn:
    """Be process 1 of the pod, with an empty root."""
    if options.shifted:
        become_root()
    lifeline.end_with_parent()
    close_others({options.status_fd})
    syscalls.set_hostname(options.hostname)
    syscalls.unshare(CLONE_NEWNS)
    syscalls.mount("none", "/", None, MS_REC | MS_PRIVATE)
    syscalls.mount("tmpfs", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0555,size=4096")
    os.chdir("/proc")
    syscalls.enter_root()
    os.close(options.status_fd)
    reap_orphans()
