"""``pumice identity token``: print a token of a pod."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pumice.cli.parsing import arguments as command_line
from pumice.cli.pods import pod_arguments
from pumice.errors import PodError, UsageError

if TYPE_CHECKING:
    import argparse

    from pumice.runtime.metadata.records import PodMetadata
    from pumice.runtime.pods.pod_store import PodState


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice identity``."""
    action = command_line.add_action(
        parser,
        "token",
        run,
        "print a token of a running pod",
        examples=("pumice identity token web --audience registry.example",),
    )
    action.add_argument("pod", metavar="POD", help="name or id of a pod that runs with --mds")
    action.add_argument(
        "--audience", required=True, metavar="AUDIENCE", help="recipient of the token, such as a host name"
    )
    pod_arguments.add_app(action, only_one=True)
    action.add_argument(
        "--lifetime",
        type=int,
        default=600,
        metavar="SECONDS",
        help="seconds until the token expires, 60 to 3600 (default: 600)",
    )


def run(options: argparse.Namespace) -> int:
    """Print the token."""
    import time

    from pumice.cli.identity.keys import open_key_file
    from pumice.formats.http1 import RequestError
    from pumice.runtime.metadata import endpoints, key_file
    from pumice.runtime.pods import pod_store
    from pumice.store.home import Home, locate

    with Home(locate(os.environ)) as home:
        state = pod_store.find_pod(home, options.pod)
    pod = _read_metadata(state)
    file, now = open_key_file(), int(time.time())
    if not endpoints.MIN_LIFETIME <= options.lifetime <= key_file.MAX_LIFETIME:
        raise UsageError(
            f"{options.lifetime} is not a lifetime",
            hint=f"use {endpoints.MIN_LIFETIME} to {key_file.MAX_LIFETIME} seconds",
        )
    context = endpoints.ResponseContext(pod, lambda: file.current(now), now, os.urandom(16).hex())
    try:
        claims = endpoints.make_claims(
            pod, _choose_app(pod, options.app), options.audience, options.lifetime, context
        )
    except RequestError as error:
        raise UsageError(error.reason, hint="see --audience and --mds-audience") from None
    sys.stdout.write(f"{key_file.sign_claims(context.keys(), claims)}\n")
    return 0


def _read_metadata(state: PodState) -> PodMetadata:
    from pumice.runtime.metadata import records

    if not state.has_program:
        raise PodError(f"the pod {state.pod.name} is not running (it is {state.state})")
    pod = records.read_metadata(state.directory)
    if pod is None:
        raise PodError(
            f"the pod {state.pod.name} has no metadata service", hint="start it with 'pumice run --mds'"
        )
    return pod


def _choose_app(pod: PodMetadata, name: str | None) -> str:
    if name is None and len(pod.apps) == 1:
        return next(iter(pod.apps))
    if name not in pod.apps:
        app_names = ", ".join(sorted(pod.apps))
        raise UsageError(
            "name an app of the pod" if name is None else f"the pod has no app {name[:100]!r}",
            hint=f"use --app with one of {app_names}",
        )
    return name
