"""The options of ``pumice run`` for networks and ports."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from pumice.cli.parsing.arguments import OptionGroup
    from pumice.runtime.network.request import NetworkRequest


def add_options(parser: OptionGroup) -> None:
    """Add the options for the network of a program and its ports."""
    parser.add_argument(
        "--network",
        "--net",
        metavar="NET",
        help="network of the program: private, host, none, or the NAME of a network that pods share, with"
        " NAME:ip=ADDRESS for an address (default: private if possible, else host)",
    )
    parser.add_argument(
        "-p",
        "--publish",
        action="append",
        default=[],
        metavar="[ADDR:][HOST:]PORT",
        help="make PORT of the program reachable on port HOST of this machine; with a range for HOST, on its"
        " first free port; without, on any free port (repeatable)",
    )
    parser.add_argument(
        "-P", "--publish-all", action="store_true", help="publish the image's ports on any free ports"
    )
    parser.add_argument(
        "--expose",
        action="append",
        default=[],
        metavar="PORT[/PROTOCOL]",
        help="treat PORT as declared by the image (repeatable)",
    )
    parser.add_argument(
        "--network-alias",
        action="append",
        default=[],
        metavar="NAME",
        help="let other programs on the same named network find this one as NAME (repeatable)",
    )


def plan_network(options: argparse.Namespace, *, has_ports: bool = False) -> NetworkRequest:
    """Return the network that the options ask for; ``has_ports`` if other ports are published as well."""
    import msgspec

    from pumice.runtime.network import port_options, request

    default = os.environ.get("PUMICE_NETWORK") or request.AUTO
    if default in (request.HOST, request.NONE) and (options.publish or options.publish_all or has_ports):
        default = request.AUTO
    return msgspec.structs.replace(
        request.parse_network(options.network or default),
        publish=tuple(port for text in options.publish for port in port_options.parse_publish(text)),
        exposed=tuple(port for text in options.expose for port in port_options.parse_exposed(text)),
        publish_all=options.publish_all,
        names=tuple(map(request.check_pod_name, filter(None, (options.pod_name, *options.network_alias)))),
    )
