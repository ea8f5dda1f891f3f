"""The privileges that the program keeps."""

from __future__ import annotations

import os

from pumice.runtime.sandbox import seccomp, syscalls
from pumice.runtime.sandbox.capabilities import CAPABILITIES


def drop_privileges() -> None:
    """Give up all other capabilities and the denied system calls, for this process and its children."""
    syscalls.limit_capabilities(CAPABILITIES.values())
    syscalls.forbid_new_privileges()
    seccomp_filter = seccomp.make_filter(os.uname().machine)
    if seccomp_filter:
        syscalls.install_seccomp_filter(seccomp_filter)
