"""``pumice generate``: write the files with which other programs run pods."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from pumice.cli.display import progress_modes
from pumice.cli.parsing import arguments as command_line
from pumice.cli.pods import pod_arguments, pod_views
from pumice.errors import PodError

if TYPE_CHECKING:
    from collections.abc import Sequence


def parser() -> command_line.Parser:
    """Return the parser of ``pumice generate``."""
    parser = command_line.make_action_parser(
        "generate", "Write a systemd unit or a Kubernetes file that runs a pod."
    )
    kube = command_line.add_action(
        parser,
        "kube",
        _generate_kube,
        "print a Kubernetes Pod",
        description="Print a Kubernetes Pod that is equivalent to this pod.",
        epilog="A warning names each setting that a Kubernetes Pod lacks. 'pumice play' runs the file.",
        examples=("pumice generate kube web > web.yaml",),
    )
    pod_arguments.add_pod(kube)
    systemd = command_line.add_action(
        parser,
        "systemd",
        _generate_systemd,
        "print a unit with which systemd runs a pod",
        description="Print a unit with which systemd runs a pod like this one, and restarts it if it fails.",
        epilog="""The unit runs the command that started the pod, in the foreground and with --rm. Save it as
/etc/systemd/system/NAME.service, or as ~/.config/systemd/user/NAME.service.""",
        examples=("pumice generate systemd web > ~/.config/systemd/user/web.service",),
    )
    pod_arguments.add_pod(systemd)
    systemd.add_argument(
        "--restart-policy",
        choices=("no", "on-success", "on-failure", "on-abnormal", "on-abort", "always"),
        default="on-failure",
        metavar="WHEN",
        help="when systemd restarts the pod: no, on-success, on-failure, on-abnormal, on-abort or always"
        " (default: on-failure)",
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return command_line.run_action(parser(), arguments)


def _generate_kube(options: argparse.Namespace) -> int:
    from pumice.runtime.pod_inputs.kubernetes_writer import write_pod
    from pumice.runtime.pods.specifications import read_specification

    progress = progress_modes.make_progress("auto")
    text, omitted = write_pod(read_specification(pod_arguments.find_pod(options.pod)))
    for sentence in omitted:
        progress.warn(f"omitted {sentence}")
    sys.stdout.write(text)
    return 0


def _generate_systemd(options: argparse.Namespace) -> int:
    from pumice.runtime.pods import pod_store, systemd_unit

    with pod_views.open_home() as home:
        pod = pod_store.find_pod(home, options.pod).pod
        if not pod.run_arguments:
            raise PodError(f"the command that started the pod {pod.name} is not known")
        unit = systemd_unit.make_unit(
            pod,
            program=(sys.executable, "-P", "-m", "pumice"),
            environment={"PUMICE_HOME": str(home.root.absolute()), "PATH": os.environ.get("PATH", "")},
            restart=options.restart_policy,
        )
    sys.stdout.write(unit)
    return 0
