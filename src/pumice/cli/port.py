"""``pumice port``: list the published ports of a running pod."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pumice.cli.display import results
from pumice.cli.parsing import arguments as command_line
from pumice.cli.pods import pod_arguments, pod_views, port_views
from pumice.errors import PodError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.cli.pods.port_views import ListedPort

_PORT = re.compile(r"(\d{1,5})(?:/(tcp|udp|sctp))?", re.ASCII)


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice port``."""
    parser = command_line.make_parser(
        "port",
        "List the ports of this machine at which a running pod is reachable.",
        progress=False,
        epilog="A pod that uses the network of the machine has no published ports.",
        examples=("pumice port web", "pumice port web 80/tcp"),
    )
    pod_arguments.add_pod(parser)
    parser.add_argument(
        "port",
        metavar="PORT[/PROTOCOL]",
        nargs="?",
        type=_parse_port,
        help="print only the addresses of this port of the pod (default: tcp)",
    )
    results.add_format_options(parser, "port", example="HostPort")
    return parser


def _parse_port(text: str) -> tuple[int, str]:
    match = _PORT.fullmatch(text)
    if not match or not 0 < int(match[1]) < 1 << 16:
        raise UsageError(
            f"{text[:60]!r} is not a port", hint="write a number from 1 to 65535, such as 80/tcp"
        )
    return int(match[1]), match[2] or "tcp"


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.runtime.pods import pod_store
    from pumice.runtime.pods.ports import list_ports

    with pod_views.open_home() as home:
        state = pod_store.find_pod(home, options.pod)
        ports = list_ports(state, home)
        home.close()
    if options.port:
        ports = [port for port in ports if (port.container, port.protocol) == options.port]
        if not ports:
            raise PodError(
                f"the pod {state.pod.name} has no published port {options.port[0]}/{options.port[1]}",
                hint=f"list its ports with 'pumice port {state.pod.name}'",
            )
    listed = [port_views.describe_port(port) for port in ports]
    results.write_result(listed, options.format, lambda: _lines(listed, options.port))
    return 0


def _lines(ports: Sequence[ListedPort], only: tuple[int, str] | None) -> list[str]:
    return [port_views.format_port(port, is_address_only=only is not None) for port in ports]
