"""Predicates of attestations, in files that the command line names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pumice.errors import FormatError
from pumice.os_errors import read_user_file, suggest_path

if TYPE_CHECKING:
    from pathlib import Path

_MAX_PREDICATE = 40 << 20


def read_predicate(path: Path, what: str) -> Any:
    """Return the content of a JSON file of the command line; raises UsageError and FormatError."""
    from pumice.formats import strictjson

    data = read_user_file(path, what, _MAX_PREDICATE, hint=suggest_path(path))
    try:
        return strictjson.read_value(data, what, limit=_MAX_PREDICATE)
    except FormatError as error:
        raise FormatError(error.message, where=str(path), hint="write a JSON document") from None
