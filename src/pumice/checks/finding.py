"""What a check finds."""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A problem of an image.

    ``check`` is the name of the check. ``key`` is the key of a recipe that the problem belongs to, such as
    ``run.command``, and ``path`` the file of the image with the problem; both can be empty. ``is_note``: it
    may be right as it is.
    """

    check: str
    message: str
    hint: str = ""
    key: str = ""
    path: str = ""
    is_note: bool = False
