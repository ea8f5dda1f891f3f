"""``pumice discover``: show where the images and keys of a name are, and why."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.cli.display import output, progress_modes, results
from pumice.cli.image_access import discovery_options, registries
from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from pumice.discovery.protocol import Discovery, Step
    from pumice.discovery.tags import Endpoint

_EPILOG = """Gets the page of the name, and then those of its parents, until one has a tag for images and
one has a tag for keys. Nothing else is fetched. Exit code 6 means that no image was found."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice discover``."""
    parser = command_line.make_parser(
        "discover",
        "Show where the images and keys of a name are, and which pages say so.",
        epilog=_EPILOG,
        examples=(
            "pumice discover example.com/hello:1.0",
            "pumice discover example.com/hello,os=linux,arch=aarch64 --json",
        ),
    )
    parser.add_argument("name", metavar="NAME", help="NAME[:VERSION][,LABEL=VALUE...]")
    parser.add_argument(
        "--platform",
        metavar="PLATFORM",
        help="look for this platform, such as linux/arm64 (default: that of this machine)",
    )
    discovery_options.add_port_option(parser)
    results.add_format_options(parser, "discover", default="text", example="Name")
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.discovery import resolver
    from pumice.discovery.labels import parse_request
    from pumice.store.home import Home, locate

    request = parse_request(options.name, discovery_options.find_platform(options.platform))
    progress = progress_modes.make_progress(options.progress)
    with (
        Home(locate(os.environ), progress=progress) as home,
        discovery_options.open_session(request.name, options, home, progress) as session,
    ):
        discovery = resolver.resolve(request.name, request.labels, session.web(), session)
    results.write_result(discovery, options.format, lambda: _present(discovery))
    return 0 if discovery.images else 6


def _present(discovery: Discovery) -> Iterator[str]:
    labels = ", ".join(f"{name}={value}" for name, value in sorted(discovery.labels.items()))
    yield output.printable(f"name    {discovery.name}")
    yield output.printable(f"labels  {labels}")
    for step in discovery.steps:
        yield ""
        yield from _present_step(step)
    yield ""
    yield from _present_endpoints("image", discovery.images)
    yield from _present_endpoints("key", discovery.keys)


def _present_step(step: Step) -> Iterator[str]:
    yield output.printable(f"page    {step.page}")
    if step.url != step.page:
        yield output.printable(f"        redirected to {step.url}")
    yield output.printable(f"        {step.outcome}{', cached' if step.is_cached else ''}")
    for tag in step.tags:
        yield output.printable(f"        {tag.name}: {tag.content}")
        if tag.reason:
            yield output.printable(f"          skipped: {tag.reason}")


def _present_endpoints(kind: str, endpoints: Sequence[Endpoint]) -> Iterator[str]:
    if not endpoints:
        yield f"{kind:<6}  none"
    for endpoint in endpoints:
        yield output.printable(f"{kind:<6}  {endpoint.url}")
        if endpoint.signature:
            yield output.printable(f"        {endpoint.signature}")
