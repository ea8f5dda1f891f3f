"""``pumice run``: run an image, without root or a daemon."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, registries
from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.runtime.container import Mount

_EPILOG = """The exit code is the program's own, 128 and n when signal n ended it, 126 when the image's
program cannot be executed, 127 when it does not exist. What it writes is gone afterwards,
except on volumes."""


def _parser() -> argparse.ArgumentParser:
    made = command_line.parser("run", "Run an image, without root or a daemon.", epilog=_EPILOG)
    made.add_argument("reference", metavar="REF", help="name:version, a digest, or a place such as oci:DIR")
    rest = made.add_argument(
        "arguments", metavar="ARG", nargs=argparse.REMAINDER, help="arguments instead of the image's own"
    )
    rest.required = False  # argparse thinks otherwise of everything that takes the rest
    made.add_argument(
        "--stage1",
        choices=("builtin", "bwrap", "runc", "crun"),
        default="builtin",
        metavar="NAME",
        help="what isolates the program: builtin, bwrap, runc or crun",
    )
    made.add_argument("--user", metavar="USER[:GROUP]", help="names of the image or numbers")
    made.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a variable; a name alone passes on its value; may be repeated",
    )
    made.add_argument("--workdir", metavar="DIR", help="start in this directory of the image")
    made.add_argument(
        "--volume",
        action="append",
        default=[],
        type=volume,
        metavar="SRC:DST[:ro]",
        help="show a file or directory of this machine at DST; may be repeated",
    )
    made.add_argument(
        "--network",
        choices=("host", "none"),
        default="host",
        metavar="NET",
        help="host (the machine's own, the default) or none (loopback only)",
    )
    made.add_argument(
        "--read-only", action="store_true", help="let only /tmp, /run and volumes be written to"
    )
    made.add_argument(
        "--init",
        action="store_true",
        help="run an init as process 1, which reaps orphans (default: the program is process 1)",
    )
    made.add_argument("--entrypoint", metavar="PROGRAM", help="run this instead of the image's entry point")
    made.add_argument("--platform", metavar="PLATFORM", help="which image of several, such as linux/arm64")
    made.add_argument(
        "--as", dest="name", default="", metavar="NAME", help="what the image must be signed as"
    )
    command_line.admission_options(made, "run it")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the program's exit code."""
    asked = _parser().parse_args(arguments)
    from pumice.formats import platforms
    from pumice.runtime.process import Overrides
    from pumice.runtime.run import run
    from pumice.store.home import Home, locate

    _end_tidily()
    home = Home(locate(os.environ))
    progress = output.progress(asked.progress)
    with registries.open_image(asked.reference, home, progress) as image:
        return run(
            image,
            Overrides(
                arguments=tuple(asked.arguments),
                entrypoint=asked.entrypoint,
                user=asked.user,
                directory=asked.workdir,
                environment=tuple(asked.env),
            ),
            home=home,
            isolation=asked.stage1,
            network=asked.network,
            read_only=asked.read_only,
            init=asked.init,
            mounts=asked.volume,
            platform=platforms.parse_platform(asked.platform) if asked.platform else None,
            progress=progress,
            reference=asked.reference,
            name=asked.name,
            insecure=tuple(asked.insecure_options),
            allow_older=asked.allow_older,
        )


def _end_tidily() -> None:
    """Let the signals that end a program unwind this one, so that a tree being unpacked is removed."""
    import signal
    import sys

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # else somebody wants it ignored, as nohup does
            signal.signal(number, lambda number, _: sys.exit(128 + number))


def volume(text: str) -> Mount:
    """Read ``SRC:DST[:ro|:rw]``; raises UsageError."""
    from pathlib import Path

    from pumice.runtime.container import Mount

    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not source or not target or mode not in ("", "ro", "rw"):
        raise UsageError(
            f"{text!r} is no volume", hint="volumes look like ./data:/var/lib/app or ./data:/data:ro"
        )
    if not target.startswith("/") or target.rstrip("/") == "":
        raise UsageError(f"the volume's place {target!r} is not a path below / in the image")
    if not Path(source).exists():
        raise UsageError(f"there is no {source!r} to be a volume", hint="create the directory first")
    return Mount(os.path.realpath(source), target, mode == "ro")
