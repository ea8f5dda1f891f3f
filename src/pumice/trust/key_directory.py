"""Where keys are kept; apart from the keys, so that completion finds them without loading cryptography."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


def keys_directory(environ: Mapping[str, str]) -> Path:
    """Return the key directory; raises UsageError if there is no home directory."""
    base = environ.get("XDG_CONFIG_HOME", "")
    if not Path(base).is_absolute():
        if not environ.get("HOME"):
            raise UsageError("no home directory for keys", hint="set HOME, or pass --output BASE")
        base = str(Path(environ["HOME"], ".config"))
    return Path(base, "pumice", "keys")
