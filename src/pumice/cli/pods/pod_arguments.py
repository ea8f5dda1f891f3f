"""The arguments that commands on pods and their programs share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.cli.parsing.arguments import OptionGroup
    from pumice.runtime.pods.pod_store import PodState

_HELP = "name of a pod, its id or the beginning of its id"


def add_pod(parser: argparse.ArgumentParser) -> None:
    """Add the argument POD as ``pod``."""
    parser.add_argument("pod", metavar="POD", help=_HELP)


def add_pods(parser: argparse.ArgumentParser) -> None:
    """Add the arguments POD… as ``pods``."""
    parser.add_argument("pods", metavar="POD", nargs="+", help=_HELP)


def add_pods_or_all(parser: argparse.ArgumentParser, text: str) -> None:
    """Add the arguments POD… as ``pods``, and ``--all`` in their place."""
    parser.add_argument("pods", metavar="POD", nargs="*", help=_HELP)
    parser.add_argument("-a", "--all", action="store_true", help=text)


def add_app(parser: argparse.ArgumentParser, *, only_one: bool = False) -> None:
    """Add the option ``--app``; with ``only_one``, the command works on one app, else on all of a pod."""
    default = "the only one" if only_one else "all"
    parser.add_argument(
        "--app", metavar="APP", help=f"use only this app of a pod with several apps (default: {default})"
    )


def find_app(options: argparse.Namespace) -> PodState:
    """Return the app that the arguments name, or the only app of their pod; raises PodError."""
    from pumice.runtime.pods import pod_store

    return pod_store.find_app(find_pod(options.pod), options.app)


def find_apps(options: argparse.Namespace) -> list[PodState]:
    """Return the pods that the arguments name, or with ``--app`` that app of each; raises PodError."""
    from pumice.runtime.pods import pod_store

    pods = find_pods(options.pods)
    return [pod_store.find_app(pod, options.app) for pod in pods] if options.app else pods


def find_apps_or_all(options: argparse.Namespace, state: str) -> list[PodState]:
    """Return what `find_apps` does, or with ``--all`` the pods that have an app in this state.

    Raises UsageError without any pod, and with both.
    """
    if bool(options.pods) == options.all:
        raise UsageError("the argument POD is missing" if not options.pods else "--all excludes POD")
    if not options.all:
        return find_apps(options)
    from pumice.cli.pods import pod_views
    from pumice.runtime.pods import pod_store

    with pod_views.open_home() as home:
        pods = [
            pod
            for pod in pod_store.list_pods(home)
            if any(app.state == state for app in pod_store.read_apps(pod))
        ]
    return [app for pod in pods for app in _select_apps(pod, options.app) if app.state == state]


def _select_apps(pod: PodState, name: str | None) -> list[PodState]:
    """Return the pod, or its app of this name if it has one."""
    from pumice.runtime.pods import pod_store

    return [app for app in pod_store.read_apps(pod) if app.pod.name == name] if name else [pod]


def find_pod(name: str) -> PodState:
    """Return the pod that is named; raises PodError if there is none. The store is closed again."""
    return find_pods([name])[0]


def find_pods(names: Sequence[str]) -> list[PodState]:
    """Return the pods that are named, each once; raises PodError before anything is done to one.

    The store is closed again, because commands on pods may take long, and what they find may disappear at
    any time anyway.
    """
    from pumice.cli.pods import pod_views
    from pumice.runtime.pods import pod_store

    with pod_views.open_home() as home:
        pods = [pod_store.find_pod(home, name) for name in names]
    return list({state.pod.id: state for state in pods}.values())


def add_stage1_option(parser: OptionGroup) -> None:
    """Add the option for what isolates the programs."""
    parser.add_argument(
        "--stage1",
        choices=("builtin", "bwrap", "oci", "runc", "crun", "fly", "kvm"),
        default="builtin",
        metavar="NAME",
        help="isolate with builtin, bwrap, oci, runc, crun, fly or kvm (default: builtin)",
    )


def add_label_option(parser: OptionGroup) -> None:
    """Add the option ``--label``."""
    parser.add_argument(
        "-l",
        "--label",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="add a label to the pod (repeatable)",
    )


def parse_labels(texts: Sequence[str]) -> dict[str, str]:
    """Return labels ``NAME=VALUE`` by name."""
    return dict(text.partition("=")[::2] for text in texts)


def add_program_options(parser: OptionGroup) -> None:
    """Add the options for the user, the environment and the working directory of a program."""
    parser.add_argument(
        "-u", "--user", metavar="USER[:GROUP]", help="run as this user and group, by name or id"
    )
    parser.add_argument(
        "-e",
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set an environment variable; NAME alone copies its current value (repeatable)",
    )
    parser.add_argument("-w", "--workdir", metavar="DIR", help="working directory inside the image")


def add_program_arguments(parser: argparse.ArgumentParser, text: str) -> None:
    """Add the arguments ARG… of a program as ``arguments``: all that follows, options included."""
    action = parser.add_argument("arguments", metavar="ARG", nargs=argparse.REMAINDER, help=text)
    action.required = False  # argparse always requires a REMAINDER argument
