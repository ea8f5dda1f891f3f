"""Resource limits of the program (setrlimit(2)), a module of its own because most programs have none."""

from __future__ import annotations

import resource

from pumice.runtime.sandbox.errors import SetupError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Limits = Sequence[tuple[int, int, int]]


def raise_hard_limits(limits: Limits) -> None:
    """Raise the hard limits of this process to those of the program, while it still may."""
    for number, _, hard in limits:
        own_soft, own_hard = resource.getrlimit(number)
        if _is_more(hard, own_hard):
            _set_limit(number, own_soft, hard)


def set_resource_limits(limits: Limits) -> None:
    """Set the limits of this process; raises SetupError."""
    for number, soft, hard in limits:
        _set_limit(number, soft, hard)


def _set_limit(number: int, soft: int, hard: int) -> None:
    try:
        resource.setrlimit(number, (soft, hard))
    except (OSError, ValueError) as error:
        raise SetupError(f"cannot set the resource limit {number} to {soft}:{hard} ({error})") from None


def _is_more(limit: int, other: int) -> bool:
    return other != resource.RLIM_INFINITY and (limit == resource.RLIM_INFINITY or limit > other)
