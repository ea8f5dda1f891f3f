"""Running programs of an image while it is built: which images this machine can run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.errors import ImageError
from pumice.formats import platforms

if TYPE_CHECKING:
    from pumice.formats.oci import Platform


def check_platform(platform: Platform, purpose: str, program: str, key: str) -> None:
    """Raise ImageError unless this machine can run programs of an image for ``platform``.

    ``purpose`` completes "cannot ...", ``program`` names what must run, ``key`` is the recipe's key.
    """
    machine = platforms.from_machine(os.uname().machine)
    if not platforms.matches(platform, machine):
        raise ImageError(
            f"cannot {purpose} for {platforms.format_platform(platform)} on "
            f"{platforms.format_platform(machine)}: {program} must run",
            hint=f"build on a machine of that architecture, or remove {key} for it",
        )
