"""What is unusual in a document that can be used nevertheless."""

from __future__ import annotations

from pumice.errors import FormatError

_MAX_WARNINGS = 200


class Findings:
    """The warnings about one document; the first one is an error if ``strict``."""

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self._warnings: dict[str, None] = {}

    def warn(self, where: str, message: str) -> None:
        """Add a warning about the value at ``where``; raises FormatError if strict."""
        if self._strict:
            raise FormatError(message, where=where)
        if len(self._warnings) < _MAX_WARNINGS:
            self._warnings[f"{where}: {message}"] = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Every warning once, in the order of the document."""
        return tuple(self._warnings)
