"""The privileges that the program keeps."""

from __future__ import annotations

import os

from pumice.runtime.sandbox import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice.runtime.sandbox.options import Options

_MAX_FILTER = 1 << 16


def drop_privileges(options: Options) -> None:
    """Give up all other capabilities and the denied system calls, for this process and its children."""
    syscalls.limit_capabilities(options.capabilities)
    syscalls.join_new_keyring()
    if not options.new_privileges:
        syscalls.forbid_new_privileges()
    if not options.fly:
        syscalls.isolate_abstract_sockets()
    if not options.exact_filter:
        install_filter(options)


def install_filter(options: Options) -> None:
    """Deny system calls to this process and its children."""
    if options.seccomp_fd < 0:
        return
    program = os.pread(options.seccomp_fd, _MAX_FILTER, 0)
    if options.refused_calls >= 0:
        from pumice.runtime.sandbox import refused_calls  # imported when its process was started

        refused_calls.install_filter(program, options.refused_calls)
    else:
        syscalls.install_seccomp_filter(program)
