"""``pumice run``: run a program in an image, without root or a daemon."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pumice.cli.display import progress_modes
from pumice.cli.image_access import registries
from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import shared_options
from pumice.cli.pods import (
    app_container_images,
    health_options,
    isolation_options,
    mounted_images,
    network_options,
    pod_arguments,
    run_plan,
)
from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.runtime.container import Mount

_EPILOG = """The exit code is that of the program, 128+N if signal N ended it, 126 if the program cannot be
executed and 127 if it does not exist. Files that it writes are discarded when it ends, except
on volumes.

--- begins another app of the same pod: its options, its image and its arguments. Apps share the network,
the host name and IPC, and each has its own files, limits, log and exit code. The pod ends when all have
ended, with the exit code of the app that failed first, or 0."""


_VOLUME_FLAGS = frozenset(
    {
        *("ro", "rw", "U", "z", "Z", "cached", "delegated", "consistent", "copy", "nocopy"),
        *("nosuid", "nodev", "exec", "rprivate", "private", "rbind", "bind"),
    }
)
"""All but ``ro``, ``U``, ``nocopy`` and ``bind`` ask for what is so anyway."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice run``."""
    return make_run_parser(
        "run",
        "Run an image without root or a daemon.",
        epilog=_EPILOG,
        examples=(
            "pumice run example.com/hello:1.0",
            "pumice run --volume /srv:/srv --env DEBUG=1 oci:hello serve --port 8080",
            "pumice run --detach example.com/web:1.0 --- example.com/db:1.0",
        ),
    )


def make_run_parser(
    verb: str, description: str, *, epilog: str, examples: Sequence[str]
) -> argparse.ArgumentParser:
    """Return the parser of a command that has the options of ``pumice run``."""
    parser = command_line.make_parser(verb, description, epilog=epilog, examples=examples)
    parser.add_argument(
        "reference", metavar="REF", help="NAME:VERSION, a digest, or a location such as oci:DIR"
    )
    pod_arguments.add_program_arguments(parser, "program arguments, instead of those in the image")
    container = parser.add_argument_group("container")
    _add_container_options(container)
    isolation_options.add_groups(parser)
    network_options.add_options(parser.add_argument_group("network"))
    _add_pod_options(parser.add_argument_group("pods"))
    health_options.add_options(parser.add_argument_group("health"))
    container.add_argument(
        "--entrypoint", metavar="PROGRAM", help="run PROGRAM instead of the image's entrypoint"
    )
    parser.add_argument(
        "--platform",
        metavar="PLATFORM",
        help="run the image for this platform, such as linux/arm64 (default: that of this machine)",
    )
    admission = parser.add_argument_group("admission")
    admission.add_argument(
        "--as", dest="name", default="", metavar="NAME", help="require that the image is signed as NAME"
    )
    shared_options.add_admission_options(admission, "run the image")
    _add_foreign_options(parser)
    registries.options(parser)
    return parser


def _add_container_options(parser: command_line.OptionGroup) -> None:
    """Add the options for the environment of the program."""
    pod_arguments.add_stage1_option(parser)
    pod_arguments.add_program_options(parser)
    parser.add_argument(
        "--env-file",
        action="append",
        default=[],
        metavar="FILE",
        help="set the environment variables in FILE, one NAME=VALUE or NAME per line (repeatable)",
    )
    parser.add_argument(
        "-v",
        "--volume",
        action="append",
        default=[],
        type=parse_volume,
        metavar="SRC:DST[:ro]",
        help="mount a file or directory of the host, or the volume NAME, at DST; :U gives it to the program's"
        " user, :bind leaves out what is mounted below SRC (repeatable)",
    )
    _add_isolation_options(parser)


def _add_pod_options(parser: command_line.OptionGroup) -> None:
    """Add the options that keep the program and its log as a pod."""
    parser.add_argument(
        "-d", "--detach", action="store_true", help="run the pod in the background, and print its id"
    )
    parser.add_argument(
        "-i",
        "--interactive",
        action="store_true",
        help="with --detach, keep the input of the program open for 'pumice attach'",
    )
    parser.add_argument("-t", "--tty", action="store_true", help="with --detach, give the program a terminal")
    parser.add_argument(
        "--name", dest="pod_name", default="", metavar="NAME", help="name the pod, and keep it when it ends"
    )
    parser.add_argument("--rm", action="store_true", help="remove the pod when it ends")
    pod_arguments.add_label_option(parser)
    parser.add_argument("--cidfile", metavar="FILE", help="write the id of the pod to FILE")
    parser.add_argument(
        "--pid",
        choices=("private", "pod"),
        default="private",
        metavar="MODE",
        help="let the apps of a pod see one another's processes: private or pod (default: private)",
    )
    parser.add_argument(
        "--app", metavar="NAME", help="name the app in a pod of several (default: the name of its image)"
    )
    _add_metadata_options(parser)
    # Only 'pumice run-prepared' passes it.
    parser.add_argument("--prepared", metavar="ID", default="", help=argparse.SUPPRESS)


def _add_metadata_options(parser: command_line.OptionGroup) -> None:
    """Add the options for the metadata service."""
    parser.add_argument(
        "--mds",
        "--mds-register",
        dest="mds",
        action="store_true",
        help="give the pod access to the metadata service, which tells and proves who it is",
    )
    parser.add_argument(
        "--mds-audience",
        action="append",
        default=[],
        metavar="AUDIENCE",
        help="the same as --mds, with tokens for AUDIENCE only (repeatable)",
    )


def _add_isolation_options(parser: command_line.OptionGroup) -> None:
    """Add the options for what the program shares with the machine."""
    parser.add_argument(
        "--read-only", action="store_true", help="make everything read-only except /tmp, /run and volumes"
    )
    parser.add_argument(
        "--init",
        action="store_true",
        help="run an init as PID 1 that forwards signals and reaps processes (default: the program is PID 1)",
    )
    isolation_options.add_options(parser)


def _add_foreign_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of docker run that are refused, with what to do instead."""
    flags = {
        ("--privileged",): "name what the program needs with --cap-add, --device and --security-opt",
    }
    options = {
        ("--pod-manifest",): "run 'pumice play FILE'",
        ("--cpuset-cpus",): "choose processors from outside, such as with taskset; or pass --cpus",
        ("--restart",): "restart the program with your service manager, such as systemd",
        ("--gpus",): "name the devices with --device, such as --device /dev/dri/renderD128",
        ("--pull",): "an image that is not in the store is read from its registry; renew it with"
        " 'pumice pull REF'",
    }
    for names, hint in flags.items():
        command_line.add_foreign_option(parser, *names, hint=hint, takes_value=False)
    for names, hint in options.items():
        command_line.add_foreign_option(parser, *names, hint=hint)


def main(arguments: Sequence[str]) -> int:
    """Run the images; return the exit code of the program, or of the pod."""
    command_lines = run_plan.split_apps(arguments)
    options = [parser().parse_args(words) for words in command_lines]
    run_plan.check_app_options(parser(), options)
    from pumice.runtime.pods import preparation
    from pumice.runtime.run import run_apps
    from pumice.runtime.run_options import PodApp
    from pumice.store.home import Home, locate

    first = options[0]
    apps = run_plan.plan_apps(options)
    sources = [run_plan.plan_source(*parts) for parts in zip(options, command_lines, strict=True)]
    exit_on_signals()
    home = Home(locate(os.environ))
    progress = progress_modes.make_progress(first.progress)
    prepared = preparation.find_prepared(home, first.prepared) if first.prepared else None
    pod = preparation.adopt(run_plan.plan_pod(options, command_lines), prepared)
    with ExitStack() as stack:
        pod_apps = []
        for app, source, app_options in zip(apps, sources, options, strict=True):
            reference = preparation.choose_reference(app_options.reference, prepared, home)
            image = stack.enter_context(
                app_container_images.open_image(reference, home, progress, first, source)
            )
            mounted = stack.enter_context(mounted_images.hold_images(app, source, home, progress, first))
            preparation.check_image(image, prepared, app_options.reference)
            pod_apps.append(PodApp(image, mounted, source))
        code = run_apps(pod_apps, pod, home=home, progress=progress)
    if pod.id and pod.detached:
        print(pod.id)
    return code


def exit_on_signals() -> None:
    """Turn SIGTERM and SIGHUP into SystemExit, so that a partly unpacked tree is removed."""
    import signal
    import sys

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # else the caller ignores it, as nohup does
            signal.signal(number, lambda number, _: sys.exit(128 + number))


def parse_volume(text: str) -> Mount:
    """Return the mount that ``SRC:DST[:ro|:rw]`` describes; raises UsageError.

    As with podman, SRC is the name of a volume unless it has a slash or begins with a dot; DST alone is an
    empty directory in memory.
    """
    from pumice.runtime.volumes.volume_store import is_volume_name

    source, colon, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    flags = set(filter(None, mode.split(",")))
    if not colon and source.startswith("/"):
        return isolation_options.make_empty_volume(source)
    if source and target and (unknown := sorted(flags - _VOLUME_FLAGS)):
        raise UsageError(
            f"unknown option {unknown[0]!r} in {text!r}", hint="use ro, rw, U, nocopy, bind or rbind"
        )
    if not source or not target or {"ro", "rw"} <= flags or {"bind", "rbind"} <= flags:
        raise UsageError(
            f"{text!r} is not a volume",
            hint="write SRC:DST or NAME:DST, with :ro for read-only, such as ./data:/var/lib/app",
        )
    if is_volume_name(source):
        return isolation_options.make_volume_mount(
            source, target, read_only="ro" in flags, owned="U" in flags, copies="nocopy" not in flags
        )
    return isolation_options.make_bind_mount(
        source, target, read_only="ro" in flags, owned="U" in flags, recursive="bind" not in flags
    )
