"""The user namespace and its id maps (user_namespaces(7))."""

from __future__ import annotations

import os

from pumice.runtime.sandbox import shifted_root, syscalls
from pumice.runtime.sandbox.errors import SetupError
from pumice.runtime.sandbox.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.runtime.sandbox.options import Options

    Sources = Sequence[tuple[int, str]]

_NOT_SHIFTED = 2
_KERNEL_SWITCHES = (
    ("/proc/sys/user/max_user_namespaces", "0"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
)
"""Files whose value can forbid user namespaces, and the value that does."""


def enter_user_namespace(options: Options, flags: int, sources: Sources = ()) -> None:
    """Enter a user namespace and those in ``flags``; raises SetupError if the kernel does not allow it.

    A helper process outside of the namespace writes the id maps, and attaches ``sources``.
    """
    if not options.maps["uid"]:
        options.maps = _default_maps(options)
    status = _run_with_helper(
        lambda process: _write_maps(options, process) or _attach(sources, process),
        lambda: syscalls.unshare(syscalls.CLONE_NEWUSER | flags),
    )
    if status == _NOT_SHIFTED:
        raise SetupError("the file system of the store cannot shift ids", "pass --userns host")
    if status:
        hint = "check /etc/subuid and /etc/subgid" if options.map_helpers else ""
        raise _explain("cannot write the map of user ids", hint)


def join_user_namespace(options: Options, flags: int, sources: Sources = ()) -> None:
    """Enter the namespaces in ``flags`` of the process ``options.pod``; raises SetupError if that fails.

    A helper process outside of the namespace attaches ``sources``.
    """
    try:
        status = _run_with_helper(
            lambda process: _attach(sources, process),
            lambda: syscalls.join_namespaces(options.pod, flags),
        )
    except SetupError:
        raise SetupError("cannot enter the namespaces of the pod") from None
    if status:
        raise SetupError("the file system of the store cannot shift ids", "pass --userns host")


def _run_with_helper(help_process: Callable[[int], int], enter: Callable[[], None]) -> int:
    """Call ``enter``, and then ``help_process`` in a process that has not; return the exit code of that.

    ``help_process`` takes the number of this process. Raises SetupError if ``enter`` fails.
    """
    process = os.getpid()
    ready, go = os.pipe()
    helper = os.fork()
    if helper == 0:
        os.close(go)
        # Without a byte, this process has ended, and another one may get its number.
        os._exit(help_process(process) if os.read(ready, 1) else 1)
    try:
        enter()
    except OSError as error:
        os.kill(helper, signal.SIGKILL)
        raise _explain(str(error.strerror)) from None
    os.write(go, b"x")
    os.close(go)
    _, status = os.waitpid(helper, 0)
    os.close(ready)
    return os.waitstatus_to_exitcode(status)


def enter_namespaces(options: Options, flags: int) -> None:
    """Enter the namespaces in ``flags``; root does not need a user namespace for that."""
    if os.geteuid() != 0:
        enter_user_namespace(options, flags)
    else:
        syscalls.unshare(flags)


def has_many_ids(options: Options) -> bool:
    """Return whether files can have more owners than one in the namespace of this process."""
    extents = options.maps["uid"]
    return not extents or not extents[0].endswith(" 1")


def _default_maps(options: Options) -> dict[str, list[str]]:
    if os.geteuid() != 0:
        return {"uid": [f"{options.uid} {os.geteuid()} 1"], "gid": [f"{options.gid} {os.getegid()} 1"]}
    maps = {}
    for kind in ("uid", "gid"):  # map all ids that are mapped here onto themselves
        with open(f"/proc/self/{kind}_map") as file:
            maps[kind] = [f"{first} {first} {count}" for first, _, count in map(str.split, file)]
    return maps


def _write_maps(options: Options, process: int) -> int:
    """Write the maps of a process; return the exit code of the helper."""
    if options.map_helpers:
        for kind, extents in options.maps.items():
            numbers = " ".join(extents).split()
            if os.spawnvp(os.P_WAIT, f"new{kind}map", [f"new{kind}map", str(process), *numbers]):
                return 1
        return 0
    try:
        if os.geteuid() != 0:  # the kernel's condition for an ordinary user to map its own group
            write_map(f"/proc/{process}/setgroups", "deny")
        for kind, extents in options.maps.items():
            write_map(f"/proc/{process}/{kind}_map", "\n".join(extents))
    except OSError:
        return 1
    return 0


def _attach(sources: Sources, process: int) -> int:
    """Attach the sources of a shifted root; return the exit code of the helper."""
    try:
        if sources:
            shifted_root.attach_sources(list(sources), process)
    except OSError:
        return _NOT_SHIFTED
    return 0


def write_map(path: str, text: str) -> None:
    """Write ``text`` in one call, as the kernel requires for a map."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _explain(reason: str, hint: str = "") -> SetupError:
    for path, forbidding_value in _KERNEL_SWITCHES:
        try:
            with open(path) as file:
                value = file.read().strip()
        except OSError:
            continue
        if value == forbidding_value:
            hint = f"{path} is {value}: ask the administrator to change it, or run as root with runc"
    return SetupError(f"cannot create a user namespace: {reason}", hint)
