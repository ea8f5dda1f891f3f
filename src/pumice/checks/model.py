"""An image to check, with what the checks share."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from pumice.checks.reach import follow_commands
from pumice.checks.runnable_image import RunnableImage

if TYPE_CHECKING:
    from pumice.checks.reach import Reach


class CheckedImage(RunnableImage):
    """An image to check."""

    @functools.cached_property
    def reach(self) -> Reach:
        """What the command and the health check reach."""
        return follow_commands(self)
