"""The command line of the metadata service as a program of its own."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")


def service_command(
    home: str | os.PathLike[str],
    idle_seconds: float,
    *,
    listen: tuple[str, int] | None = None,
    verbose: bool = False,
) -> list[str]:
    """Return the command that serves the pods of the store in ``home``; the rest is as in `service.main`.

    Modules are found where this process finds them, also without its environment.
    """
    host, port = listen or ("", 0)
    settings = (os.fspath(home), str(idle_seconds), host, str(port), "verbose" if verbose else "quiet")
    paths = [os.path.abspath(path) for path in sys.path if path]
    return [sys.executable, "-I", _PROGRAM, *settings, *paths]


def run(settings: Sequence[str]) -> int:
    """Run the service with the settings of `service_command`; return the exit code."""
    from pumice.runtime.metadata.service import main

    home, idle_seconds, host, port, verbosity = settings
    return main(
        home, float(idle_seconds), listen=(host, int(port)) if host else None, verbose=verbosity == "verbose"
    )
