"""Files of environment variables, as docker reads them."""

from __future__ import annotations

from pathlib import Path

from pumice.errors import UsageError
from pumice.os_errors import suggest_path

_MAX_ENVIRONMENT = 1 << 20


def read_environment_file(path: str) -> list[str]:
    """Return the lines ``NAME=VALUE`` and ``NAME`` of a file, as docker reads it; raises UsageError.

    Quotes and spaces belong to the value. Empty lines and lines that begin with ``#`` are skipped.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_ENVIRONMENT + 1)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError(
            f"cannot read the environment file: {reason}", where=path[:200], hint=suggest_path(path)
        ) from None
    if len(data) > _MAX_ENVIRONMENT or b"\0" in data:
        raise UsageError(
            "the environment file is larger than 1 MiB or not text",
            where=path[:200],
            hint="write NAME=VALUE lines",
        )
    text = data.decode("utf-8-sig", "surrogateescape")
    variables = []
    for number, line in enumerate(text.split("\n"), 1):
        variable = line.lstrip().removesuffix("\r")
        name = variable.partition("=")[0]
        if not variable or variable.startswith("#"):
            continue
        if not name or any(letter.isspace() for letter in name):
            raise UsageError(
                f"invalid variable {variable[:40]!r}", where=f"{path[:200]}:{number}", hint="write NAME=VALUE"
            )
        variables.append(variable)
    return variables
