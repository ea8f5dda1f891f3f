"""The parser of the commands that have the options of ``pumice run``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pumice.cli.image_access import registries
from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import shared_options
from pumice.cli.pods import health_options, isolation_options, mount_options, network_options, pod_arguments

if TYPE_CHECKING:
    from collections.abc import Sequence


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
        type=mount_options.parse_volume,
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
