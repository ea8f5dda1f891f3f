"""The limits of the program: control groups, resource limits and its score for the OOM killer."""

from __future__ import annotations

import os
import resource

from pumice.runtime.sandbox.errors import SetupError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice.runtime.sandbox.options import Options


def prepare_limits(options: Options) -> None:
    """Set what only the caller's privileges can set, before they are given up in a user namespace."""
    if options.oom_score:
        try:
            with open("/proc/self/oom_score_adj", "w") as file:
                file.write(options.oom_score)
        except OSError as error:
            raise SetupError(f"cannot set the OOM score to {options.oom_score} ({error.strerror})") from None
    for number, _, hard in options.rlimits:
        own_soft, own_hard = resource.getrlimit(number)
        if _is_more(hard, own_hard):
            _set_limit(number, own_soft, hard)


def set_limits(options: Options) -> None:
    """Set the resource limits of this process, just before it executes the program."""
    for number, soft, hard in options.rlimits:
        _set_limit(number, soft, hard)


def enter_cgroups(options: Options) -> None:
    """Move this process into the control groups of the container."""
    for descriptor in options.cgroups:
        try:
            os.write(descriptor, b"0")
        except OSError as error:
            raise SetupError(f"cannot enter the control group of the container ({error.strerror})") from None
        os.close(descriptor)


def _set_limit(number: int, soft: int, hard: int) -> None:
    try:
        resource.setrlimit(number, (soft, hard))
    except (OSError, ValueError) as error:
        raise SetupError(f"cannot set the resource limit {number} to {soft}:{hard} ({error})") from None


def _is_more(limit: int, other: int) -> bool:
    return other != resource.RLIM_INFINITY and (limit == resource.RLIM_INFINITY or limit > other)
