"""The names of the apps of a pod (AC Names, App Container specification, "Types")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
_MAX_NAME = 63
MAX_APPS = 64
"""The most apps of a pod: each has descriptors and processes."""


def choose_app_name(reference: str) -> str:
    """Return a name for the app of an image: the last part of the image's name."""
    last = re.split(r"[@:]", reference.rstrip("/").rpartition("/")[2].lower())[0]
    name = "-".join(re.findall(r"[a-z0-9]+", last))[:_MAX_NAME].strip("-")
    return name or "app"


def check_app_names(names: Sequence[str]) -> None:
    """Raise UsageError if these cannot be the names of the apps of one pod."""
    if len(names) > MAX_APPS:
        raise UsageError(f"a pod can have {MAX_APPS} apps at most", hint="split it into several pods")
    for name in names:
        if len(name) > _MAX_NAME or not _NAME.fullmatch(name):
            raise UsageError(
                f"{name[:100]!r} is not a name for an app", hint="use lower case letters, digits and hyphens"
            )
        if names.count(name) > 1:
            raise UsageError(f"two apps are called {name!r}", hint="name one of them with --app NAME")
