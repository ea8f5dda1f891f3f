"""``pumice run``: run a program in an image, without root or a daemon."""

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

_EPILOG = """The exit code is that of the program, 128+N if signal N ended it, 126 if the program cannot be
executed and 127 if it does not exist. Files that it writes are discarded when it ends, except
on volumes."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice run``."""
    parser = command_line.make_parser(
        "run",
        "Run an image without root or a daemon.",
        epilog=_EPILOG,
        examples=(
            "pumice run example.com/hello:1.0",
            "pumice run --volume /srv:/srv --env DEBUG=1 oci:hello serve --port 8080",
        ),
    )
    parser.add_argument(
        "reference", metavar="REF", help="NAME:VERSION, a digest, or a location such as oci:DIR"
    )
    program_arguments = parser.add_argument(
        "arguments",
        metavar="ARG",
        nargs=argparse.REMAINDER,
        help="program arguments, instead of those in the image",
    )
    program_arguments.required = False  # argparse always requires a REMAINDER argument
    container = parser.add_argument_group("container")
    _add_container_options(container)
    container.add_argument(
        "--entrypoint", metavar="PROGRAM", help="run PROGRAM instead of the image's entrypoint"
    )
    parser.add_argument(
        "--platform", metavar="PLATFORM", help="run the image for this platform, such as linux/arm64"
    )
    admission = parser.add_argument_group("admission")
    admission.add_argument(
        "--as", dest="name", default="", metavar="NAME", help="require that the image is signed as NAME"
    )
    command_line.add_admission_options(admission, "run the image")
    return parser


def _add_container_options(parser: command_line.OptionGroup) -> None:
    """Add the options for the environment of the program."""
    parser.add_argument(
        "--stage1",
        choices=("builtin", "bwrap", "runc", "crun"),
        default="builtin",
        metavar="NAME",
        help="isolate with builtin, bwrap, runc or crun (default: builtin)",
    )
    parser.add_argument("--user", metavar="USER[:GROUP]", help="run as this user and group, by name or id")
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set an environment variable; NAME alone copies its current value (repeatable)",
    )
    parser.add_argument("--workdir", metavar="DIR", help="working directory inside the image")
    parser.add_argument(
        "--volume",
        action="append",
        default=[],
        type=parse_volume,
        metavar="SRC:DST[:ro]",
        help="mount a file or directory of the host at DST (repeatable)",
    )
    parser.add_argument(
        "--network",
        choices=("host", "none"),
        default="host",
        metavar="NET",
        help="use the host's network, or none but loopback: host or none (default: host)",
    )
    parser.add_argument(
        "--read-only", action="store_true", help="make everything read-only except /tmp, /run and volumes"
    )
    parser.add_argument(
        "--init",
        action="store_true",
        help="run an init as PID 1 that forwards signals and reaps processes (default: the program is PID 1)",
    )


def main(arguments: Sequence[str]) -> int:
    """Run the image; return the exit code of its program."""
    options = parser().parse_args(arguments)
    from pumice.formats import platforms
    from pumice.runtime.process import Overrides
    from pumice.runtime.run import run_image
    from pumice.store.home import Home, locate

    _exit_on_signals()
    home = Home(locate(os.environ))
    progress = output.make_progress(options.progress)
    with registries.open_image(options.reference, home, progress) as image:
        return run_image(
            image,
            Overrides(
                arguments=tuple(options.arguments),
                entrypoint=options.entrypoint,
                user=options.user,
                directory=options.workdir,
                environment=tuple(options.env),
            ),
            home=home,
            isolation=options.stage1,
            network=options.network,
            read_only=options.read_only,
            init=options.init,
            mounts=options.volume,
            platform=platforms.parse_platform(options.platform) if options.platform else None,
            progress=progress,
            reference=options.reference,
            name=options.name,
            insecure=tuple(options.insecure_options),
            allow_older=options.allow_older,
        )


def _exit_on_signals() -> None:
    """Turn SIGTERM and SIGHUP into SystemExit, so that a partly unpacked tree is removed."""
    import signal
    import sys

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # else the caller ignores it, as nohup does
            signal.signal(number, lambda number, _: sys.exit(128 + number))


def parse_volume(text: str) -> Mount:
    """Return the mount that ``SRC:DST[:ro|:rw]`` describes; raises UsageError."""
    from pathlib import Path

    from pumice.runtime.container import Mount

    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not source or not target or mode not in ("", "ro", "rw"):
        raise UsageError(
            f"{text!r} is not a volume", hint="write SRC:DST or SRC:DST:ro, such as ./data:/var/lib/app"
        )
    if not target.startswith("/") or target.rstrip("/") == "":
        raise UsageError(f"the mount point {target!r} is not an absolute path below /")
    if not Path(source).exists():
        raise UsageError(
            f"cannot mount {source!r}: no such file or directory", hint="create the directory first"
        )
    return Mount(os.path.realpath(source), target, mode == "ro")
