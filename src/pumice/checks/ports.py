"""Ports below 1024, which a user without privileges can open on some hosts only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.checks.accounts import process_user
from pumice.checks.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.checks.model import CheckedImage

_FIRST_UNPRIVILEGED = 1024


def check_ports(image: CheckedImage) -> Iterator[Finding]:
    """Yield a finding for each declared port below 1024, if the user is not root."""
    user = process_user(image)
    if user is None or user.uid == 0:
        return
    for port in image.run.ports:
        number = port.partition("/")[0]
        if number.isascii() and number.isdigit() and int(number[:6]) < _FIRST_UNPRIVILEGED:
            yield Finding(
                check="port",
                message=f"the user {user.name!r} may not open port {number} on every host",
                hint="use a port from 1024 on, such as 8080",
                key="run.ports",
                is_note=True,
            )
