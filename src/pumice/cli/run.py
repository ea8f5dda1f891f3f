"""``pumice run``: run a program in an image, without root or a daemon."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import (
    confirmation,
    isolation_options,
    mounted_images,
    network_options,
    output,
    pod_arguments,
    registries,
)
from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.runtime.container import Mount
    from pumice.runtime.run_options import AppOptions, ImageOptions, MetadataRequest, PodOptions

_EPILOG = """The exit code is that of the program, 128+N if signal N ended it, 126 if the program cannot be
executed and 127 if it does not exist. Files that it writes are discarded when it ends, except
on volumes."""


_VOLUME_FLAGS = frozenset(
    {
        *("ro", "rw", "U", "z", "Z", "cached", "delegated", "consistent", "copy", "nocopy"),
        *("nosuid", "nodev", "exec", "rprivate", "private", "rbind"),
    }
)
"""All but ``ro``, ``U`` and ``nocopy`` ask for what is so anyway."""
_MAX_ENVIRONMENT = 1 << 20


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice run``."""
    return make_run_parser(
        "run",
        "Run an image without root or a daemon.",
        epilog=_EPILOG,
        examples=(
            "pumice run example.com/hello:1.0",
            "pumice run --volume /srv:/srv --env DEBUG=1 oci:hello serve --port 8080",
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
    _add_harmless_options(parser)
    _add_foreign_options(parser)
    registries.options(parser)
    return parser


def _add_container_options(parser: command_line.OptionGroup) -> None:
    """Add the options for the environment of the program."""
    parser.add_argument(
        "--stage1",
        choices=("builtin", "bwrap", "oci", "runc", "crun", "fly", "kvm"),
        default="builtin",
        metavar="NAME",
        help="isolate with builtin, bwrap, oci, runc, crun, fly or kvm (default: builtin)",
    )
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
        " user (repeatable)",
    )
    _add_isolation_options(parser)


def _add_pod_options(parser: command_line.OptionGroup) -> None:
    """Add the options that keep the program and its log as a pod."""
    parser.add_argument(
        "-d", "--detach", action="store_true", help="run the pod in the background, and print its id"
    )
    parser.add_argument(
        "--name", dest="pod_name", default="", metavar="NAME", help="name the pod, and keep it when it ends"
    )
    parser.add_argument("--rm", action="store_true", help="remove the pod when it ends")
    parser.add_argument(
        "-l",
        "--label",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="add a label to the pod (repeatable)",
    )
    parser.add_argument("--cidfile", metavar="FILE", help="write the id of the pod to FILE")
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
    # Only 'pumice run-prepared' passes it.
    parser.add_argument("--prepared", metavar="ID", default="", help=argparse.SUPPRESS)


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


def _add_harmless_options(parser: argparse.ArgumentParser) -> None:
    """Add options of docker run that ask for what happens anyway."""
    for names in (
        ("-i", "--interactive"),
        ("-t", "--tty"),
        ("--no-healthcheck",),
    ):
        parser.add_argument(*names, action="store_true", help=argparse.SUPPRESS)


def _add_foreign_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of docker run that are refused, with what to do instead."""
    flags = {
        ("--privileged",): "name what the program needs with --cap-add, --device and --security-opt",
    }
    options = {
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
    """Run the image; return the exit code of its program."""
    options = parser().parse_args(arguments)
    from pumice.runtime.pods import preparation
    from pumice.runtime.run import run_image
    from pumice.store.home import Home, locate

    app, source = plan_app(options), plan_source(options, arguments)
    _exit_on_signals()
    home = Home(locate(os.environ))
    progress = output.make_progress(options.progress)
    prepared = preparation.find_prepared(home, options.prepared) if options.prepared else None
    keeps_pod = bool(options.detach or options.pod_name or options.cidfile)
    pod = preparation.adopt(plan_pod(options, arguments, keeps_pod=keeps_pod), prepared)
    reference = preparation.choose_reference(options.reference, prepared, home)
    with (
        registries.open_image(reference, home, progress, options) as image,
        mounted_images.hold_images(app, source, home, progress, options) as app,
    ):
        preparation.check_image(image, prepared, options.reference)
        code = run_image(image, app, pod, home=home, source=source, progress=progress)
    if pod.id and pod.detached:
        print(pod.id)
    return code


def plan_app(options: argparse.Namespace) -> AppOptions:
    """Return what the options ask of the program."""
    from pumice.runtime.process import Overrides
    from pumice.runtime.run_options import AppOptions

    environment = [line for file in options.env_file for line in read_environment_file(file)]
    return AppOptions(
        process=Overrides(
            arguments=tuple(options.arguments),
            entrypoint=options.entrypoint,
            user=isolation_options.choose_user(options),
            directory=options.workdir,
            environment=(*environment, *options.env),
        ),
        isolation=isolation_options.plan_isolation(options),
        mounts=(*options.volume, *isolation_options.plan_mounts(options)),
        read_only=options.read_only,
        init=options.init,
        terminal=os.isatty(0) and os.isatty(1),
    )


def plan_source(options: argparse.Namespace, arguments: Sequence[str]) -> ImageOptions:
    """Return how the image is chosen and admitted."""
    from pumice.formats import platforms
    from pumice.runtime.quick.command_line import read_command
    from pumice.runtime.run_options import ImageOptions

    return ImageOptions(
        reference=options.reference,
        name=options.name,
        platform=platforms.parse_platform(options.platform) if options.platform else None,
        is_insecure="image" in options.insecure_options,
        allow_older=options.allow_older,
        confirm=confirmation.unsigned_image_question(),
        command=read_command(arguments),
    )


def plan_pod(options: argparse.Namespace, arguments: Sequence[str], *, keeps_pod: bool) -> PodOptions:
    """Return what the options ask of the pod; it has no id if the program leaves nothing behind."""
    from pathlib import Path

    from pumice.runtime.run_options import PodOptions

    metadata = _plan_metadata(options)
    pod_id = _choose_id(options) if keeps_pod or metadata else ""
    option_count = len(arguments) - len(options.arguments) - 1
    return PodOptions(
        stage1=options.stage1,
        network=network_options.plan_network(options),
        hostname=isolation_options.parse_hostname(options),
        names=isolation_options.plan_names(options),
        strict=options.strict,
        verify=options.verify,
        id=pod_id,
        name=options.pod_name,
        labels=dict(label.partition("=")[::2] for label in options.label),
        detached=options.detach,
        remove=options.rm or not (keeps_pod or options.prepared),
        metadata=metadata,
        run_options=tuple(arguments[:option_count]),
        run_arguments=tuple(arguments[option_count:]),
        run_directory=str(Path.cwd()) if pod_id else "/",
    )


def _plan_metadata(options: argparse.Namespace) -> MetadataRequest | None:
    """Return the access to the metadata service, None without one."""
    if not (options.mds or options.mds_audience):
        return None
    from pumice.runtime.run_options import MetadataRequest

    return MetadataRequest(audiences=tuple(options.mds_audience))


def _choose_id(options: argparse.Namespace) -> str:
    """Return the id of a new pod."""
    from pumice.runtime.pods import pod_store

    if options.pod_name:
        pod_store.check_name(options.pod_name)
    pod_id = pod_store.new_id()
    if options.cidfile:
        _write_id(options.cidfile, pod_id)
    return pod_id


def _write_id(path: str, pod_id: str) -> None:
    from pathlib import Path

    try:
        with Path(path).open("x", encoding="ascii") as file:
            file.write(f"{pod_id}\n")
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError(f"cannot write the id of the pod: {reason}", where=path[:200]) from None


def _exit_on_signals() -> None:
    """Turn SIGTERM and SIGHUP into SystemExit, so that a partly unpacked tree is removed."""
    import signal
    import sys

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # else the caller ignores it, as nohup does
            signal.signal(number, lambda number, _: sys.exit(128 + number))


def read_environment_file(path: str) -> list[str]:
    """Return the lines ``NAME=VALUE`` and ``NAME`` of a file, as docker reads it; raises UsageError.

    Quotes and spaces belong to the value. Empty lines and lines that begin with ``#`` are skipped.
    """
    from pathlib import Path

    from pumice.os_errors import suggest_path

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
    if not source or not target or not flags <= _VOLUME_FLAGS or {"ro", "rw"} <= flags:
        raise UsageError(
            f"{text!r} is not a volume",
            hint="write SRC:DST or NAME:DST, with :ro for read-only, such as ./data:/var/lib/app",
        )
    if is_volume_name(source):
        return isolation_options.make_volume_mount(
            source, target, read_only="ro" in flags, owned="U" in flags, copies="nocopy" not in flags
        )
    return isolation_options.make_bind_mount(source, target, read_only="ro" in flags, owned="U" in flags)
