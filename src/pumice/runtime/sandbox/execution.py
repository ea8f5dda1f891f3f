"""Executing the program of the image."""

from __future__ import annotations

import errno
import os

from pumice.runtime.sandbox import launcher, syscalls
from pumice.runtime.sandbox.errors import NOT_EXECUTABLE, NOT_FOUND, SetupError, exit_with_reason
from pumice.runtime.sandbox.limits import set_limits
from pumice.runtime.sandbox.options import DEFAULT_PATH
from pumice.runtime.sandbox.privileges import install_filter
from pumice.runtime.sandbox.program_check import HEAD, explain_failure
from pumice.runtime.sandbox.signals import release_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from pumice.runtime.sandbox.options import Options
    from pumice.runtime.sandbox.streams import Streams


def execute_as_user(options: Options, streams: Streams) -> NoReturn:
    """Execute the program with its user, environment and default signal handling.

    It inherits the streams and its sockets only, because all other descriptors are closed on execution.
    """
    try:
        streams.install()
        os.chdir(options.cwd)
        with open("/proc/self/setgroups") as file:
            if file.read().strip() != "deny":
                os.setgroups(options.groups)
        os.setresgid(options.gid, options.gid, options.gid)
        syscalls.keep_capabilities()
        os.setresuid(options.uid, options.uid, options.uid)
        _set_capabilities(options)
        syscalls.end_with_parent()  # again, because a change of user clears it
    except OSError as error:
        exit_with_reason(options.status_fd, _explain_setup(options, error))
    release_signals()
    if options.listen:
        from pumice.runtime.sandbox.activation import place_sockets

        place_sockets(options)
    set_limits(options)  # last, because nothing here may need more than the program gets
    code, message = _execute(options)
    exit_with_reason(options.status_fd, SetupError(f"{options.argv[0]}: {message}"), code)


def _explain_setup(options: Options, error: OSError) -> SetupError:
    """Return why the process cannot become the user of the program, or enter its directory."""
    user = f"{options.uid}:{options.gid}"
    if error.errno == errno.EINVAL:  # from setresuid(2) and setresgid(2)
        return SetupError(
            f"cannot become user {user}: the container does not have these ids",
            "without root, only an image or a pod that runs as root has several users",
        )
    return SetupError(f"cannot become user {user} in {options.cwd}: {error.strerror}")


def _set_capabilities(options: Options) -> None:
    """Give the program its capabilities: root all in the bounding set, others those that were added."""
    if options.uid == 0:
        syscalls.set_capabilities(options.capabilities)
        return
    syscalls.set_capabilities(options.ambient, inheritable=options.ambient)
    syscalls.raise_ambient_capabilities(options.ambient)


def _explain(path: str) -> str:
    """Return why the program at ``path`` cannot be executed, ``""`` if it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        head = os.read(descriptor, HEAD)
        os.close(descriptor)
    except OSError:
        return ""
    return explain_failure(head, os.uname().machine, os.path.exists)


def _execute(options: Options) -> tuple[int, str]:
    """Execute the program; on failure return the exit code and message of a shell."""
    name = options.argv[0]
    directories = options.env.get("PATH", DEFAULT_PATH).split(":") if "/" not in name else [""]
    paths = [f"{directory}/{name}" if directory else name for directory in directories]
    code, message = NOT_FOUND, "not found in the image"
    is_exposed = launcher.is_exposed()
    if options.exact_filter:
        # The filter may allow no other call than the one that executes the program.
        paths = list(filter(os.path.exists, paths))[:1]
        obstacle = launcher.find_obstacle(paths[0]) if is_exposed and paths else None
        if obstacle is not None:
            return obstacle
        install_filter(options)
        is_exposed = False
    execute = _execute_by_launcher if is_exposed else _execute_file
    for path in paths:
        try:
            failure = execute(options, path)
        except ValueError as error:
            return NOT_EXECUTABLE, f"cannot be executed: {error}"
        if failure:
            code, message = failure
    return code, message


def _execute_by_launcher(options: Options, path: str) -> launcher.Failure | None:
    """Execute a file as `_execute_file` does, without giving it our own executable."""
    failure = launcher.find_obstacle(path)
    if failure is not None:
        return failure if failure[0] != NOT_FOUND else None
    reasons = {number: _explain_error(path, number) for number in (errno.ENOENT, errno.ENOEXEC)}

    def explain(number: int) -> launcher.Failure:
        return reasons.get(number) or _explain_error(path, number)

    launcher.execute(options, path, explain)
    return _execute_file(options, path)  # there is no launcher here


def _execute_file(options: Options, path: str) -> launcher.Failure | None:
    """Execute a file; on failure return why, None if it does not exist."""
    try:
        os.execve(path, options.argv, options.env)
    except OSError as error:
        is_missing = error.errno in (errno.ENOENT, errno.ENOTDIR) and not os.path.exists(path)
        return None if is_missing else _explain_error(path, error.errno or 0)


def _explain_error(path: str, number: int) -> launcher.Failure:
    """Return the exit code and message of a shell for the error of an execution; the file exists."""
    if number in (errno.ENOENT, errno.ENOTDIR):
        return NOT_FOUND, _explain(path) or "its loader or interpreter is not in the image"
    reason = _explain(path) if number == errno.ENOEXEC else ""
    return NOT_EXECUTABLE, f"cannot be executed: {reason or os.strerror(number)}"
