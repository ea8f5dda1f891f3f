"""The limits of the program: control groups, resource limits and its score for the OOM killer."""

from __future__ import annotations

import os

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
    if options.rlimits:
        from pumice.runtime.sandbox.resource_limits import raise_hard_limits

        raise_hard_limits(options.rlimits)


def set_limits(options: Options) -> None:
    """Set the resource limits of this process, just before it executes the program."""
    if options.rlimits:
        from pumice.runtime.sandbox.resource_limits import set_resource_limits  # imported before

        set_resource_limits(options.rlimits)


def enter_cgroups(options: Options) -> None:
    """Move this process into the control groups of the container."""
    for descriptor in options.cgroups:
        try:
            os.write(descriptor, b"0")
        except OSError as error:
            raise SetupError(f"cannot enter the control group of the container ({error.strerror})") from None
        os.close(descriptor)
