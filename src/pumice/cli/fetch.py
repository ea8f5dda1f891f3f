"""``pumice fetch``: fetch an image by its name into the store."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pumice.cli.display import output, progress_modes
from pumice.cli.image_access import discovery_options, registries, registry_fetch
from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import shared_options
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from pumice.cli.display.presenters import Quiet
    from pumice.cli.display.summaries import Summary
    from pumice.discovery.labels import ImageRequest
    from pumice.discovery.stored_images import FetchedImage
    from pumice.discovery.tags import Endpoint
    from pumice.discovery.web import Web
    from pumice.progress import Progress
    from pumice.store.home import Home
    from pumice.swarm.file_peers import FilePeers

_EPILOG = """The pages of NAME say where the image is: as files, or in a registry. Its signature is
fetched first, and must be by a key that is trusted for NAME: see 'pumice trust add --prefix NAME'. The
image must have the requested name and labels. A NAME with a transport, such as docker://, is pulled as with
'pumice pull'. Prints the name of the image in the store."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice fetch``."""
    parser = command_line.make_parser(
        "fetch",
        "Fetch an image by its name into the local store.",
        epilog=_EPILOG,
        examples=(
            "pumice fetch example.com/hello:1.0",
            "pumice fetch example.com/hello,os=linux,arch=aarch64",
            "pumice fetch docker://registry.example/team/hello:1.0",
        ),
    )
    parser.add_argument(
        "name", metavar="NAME", help="NAME[:VERSION][,LABEL=VALUE...], docker://HOST/NAME[:TAG], oci:DIR, …"
    )
    parser.add_argument(
        "--pull",
        choices=("new", "always", "never"),
        default="always",
        metavar="WHEN",
        help="new: if the store does not have the image; always: if it changed; never (default: always)",
    )
    discovery_options.add_port_option(parser)
    shared_options.add_quiet_option(parser)
    registries.graph_options(parser, platforms="that of this machine, or all with a transport")
    registries.peer_options(parser)
    shared_options.add_admission_options(parser, "accept the image")
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; print the name in the store."""
    options = parser().parse_args(arguments)
    options.signed_as = ""
    from pumice.image.transports import references

    if options.name.startswith(("https://", "http://", "sha512-")) or options.name.endswith(".aci"):
        raise UsageError(
            f"{options.name[:100]!r} is not a name",
            hint="write HOST/NAME[:VERSION]; copy a file with 'pumice copy aci:FILE store:NAME:VERSION'",
        )
    started = time.monotonic()
    progress = progress_modes.make_progress(options.progress)
    if references.transport_of(options.name) is not None:
        return _pull(options, progress)
    fetched = _fetch(options, progress)
    progress.finish(_summarize(fetched, time.monotonic() - started))
    print(output.printable(fetched.name))
    return 0


def _pull(options: argparse.Namespace, progress: Quiet) -> int:
    """Pull from a transport, unless ``--pull`` says that the image in the store is enough."""
    from pumice.cli import pull
    from pumice.errors import ImageError
    from pumice.image.transports import references
    from pumice.store.home import Home, locate

    if options.pull == "always":
        return pull.pull(options, options.name, "", progress)
    source = references.parse_pull_source(options.name)
    if not source.address.transport.is_registry:
        raise UsageError(f"--pull {options.pull} is for names, not for {options.name[:100]!r}")
    name, _, digest = source.address.path.partition("@")
    with Home(locate(os.environ), progress=progress) as home:
        names = home.refs.all()
    stored = next((each for each in names.values() if each.digest == digest), names.get(name))
    if stored is not None:
        print(stored.digest)
        return 0
    if options.pull == "never":
        raise ImageError(
            f"there is no {source.address.path[:200]} in the store", hint="fetch it without --pull never"
        )
    return pull.pull(options, options.name, "", progress)


def _fetch(options: argparse.Namespace, progress: Progress) -> FetchedImage:
    from pumice.clock import SystemClock
    from pumice.discovery import image_fetch
    from pumice.discovery.aci_fetch import TrustOptions
    from pumice.discovery.labels import parse_request
    from pumice.store.home import Home, locate
    from pumice.trust import policy

    platform = discovery_options.find_platform(options.platform)
    request = parse_request(options.name, platform)
    trust = TrustOptions(
        directories=policy.policy_directories(os.environ),
        now=SystemClock().now(),
        insecure="image" in options.insecure_options,
        allow_older=options.allow_older,
    )
    with (
        Home(locate(os.environ), progress=progress) as home,
        _open_peers(options, home, progress) as peers,
        discovery_options.open_session(request.name, options, home, progress, peers) as session,
    ):

        def fetch_oci(endpoint: Endpoint, request: ImageRequest, web: Web) -> FetchedImage:
            return registry_fetch.pull_image(endpoint, request, web, session, options)

        return image_fetch.fetch_image(request, session, trust, platform, fetch_oci, pull=options.pull)


@contextmanager
def _open_peers(options: argparse.Namespace, home: Home, progress: Progress) -> Iterator[FilePeers | None]:
    """Give what downloads from peers, None with ``--no-peers`` or without the extra."""
    if not options.peers:
        yield None
        return
    from pumice.swarm import file_peers

    with file_peers.open_peers(home.directory("tmp"), progress) as peers:
        yield peers


def _summarize(fetched: FetchedImage, seconds: float) -> Summary:
    from pumice.cli.display.summaries import Summary

    verified = ", signed by a trusted key" if fetched.is_verified else ""
    headline = f"{fetched.name}: unchanged in the store{verified}"
    if fetched.is_new:
        size = output.format_size(fetched.size)
        headline = f"{fetched.name}: fetched {size} in {seconds:.1f} s from {fetched.url}{verified}"
    return Summary(
        event="fetched",
        headline=headline,
        data={
            "image": fetched.name,
            "digest": fetched.digest,
            "image_id": fetched.image_id,
            "source": fetched.url,
            "size": fetched.size,
            "new": fetched.is_new,
            "verified": fetched.is_verified,
            "seconds": round(seconds, 3),
        },
    )
