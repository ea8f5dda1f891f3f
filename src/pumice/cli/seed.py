"""``pumice seed``: share published images with BitTorrent, and track who downloads them."""

from __future__ import annotations

import select
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli.display import output, progress_modes
from pumice.cli.parsing import addresses, shared_options
from pumice.cli.parsing import arguments as command_line
from pumice.errors import ImageError, UsageError
from pumice.terminal import format_count

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.cli.display.presenters import Quiet
    from pumice.formats.http1 import Request, Response
    from pumice.publish.torrent_files import SeedableFile
    from pumice.swarm.session import SwarmSession
    from pumice.swarm.tracker import Tracker

_EPILOG = """Seeds the torrents that 'pumice publish --torrent' made in DIR, and those that are next to their
files as FILE.torrent. It finds new ones while it runs. Clients find each other with the tracker,
which tracks these torrents only. Stop it with Ctrl-C."""
_RESCAN_SECONDS = 15


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice seed``."""
    parser = command_line.make_parser(
        "seed",
        "Share published images with BitTorrent, and run a tracker.",
        epilog=_EPILOG,
        examples=("pumice seed /srv/registry", "pumice seed --only-tracker --tracker 10.0.0.1:6969 DIR"),
    )
    parser.add_argument("directory", metavar="DIR", help="directory of published images")
    parser.add_argument(
        "--tracker",
        type=addresses.parse_address,
        default=("0.0.0.0", 6969),  # noqa: S104 - a tracker is for other machines
        metavar="HOST:PORT",
        help="address of the tracker (default: :6969)",
    )
    parser.add_argument("--no-tracker", action="store_true", help="do not run a tracker")
    parser.add_argument("--only-tracker", action="store_true", help="run the tracker, and share nothing")
    parser.add_argument(
        "--listen",
        type=addresses.parse_address,
        default=("0.0.0.0", 6881),  # noqa: S104 - peers are other machines
        metavar="HOST:PORT",
        help="address for connections of peers (default: :6881)",
    )
    parser.add_argument(
        "--announce-ip",
        type=_parse_ip,
        metavar="ADDR",
        help="address to tell trackers (default: the one they see)",
    )
    shared_options.add_quiet_option(parser)
    return parser


def _parse_ip(text: str) -> str:
    """Return an IP address; raises UsageError."""
    import ipaddress

    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise UsageError(f"{text[:100]!r} is not an IP address", hint="for example 192.0.2.1") from None


def main(arguments: Sequence[str]) -> int:
    """Run the command until a signal comes; print the URL of the tracker."""
    options = parser().parse_args(arguments)
    from pumice.swarm import session

    if options.no_tracker and options.only_tracker:
        raise UsageError("--no-tracker and --only-tracker exclude each other", hint="pass one of them")
    directory = Path(options.directory)
    if not directory.is_dir():
        raise ImageError("there is no such directory", where=options.directory[:200], hint="check the path")
    if options.only_tracker:
        return _run(options, directory, None)
    library = session.require_library()
    listen = addresses.format_url(*options.listen).removeprefix("http://")
    with session.SwarmSession(library, listen=listen, announce_ip=options.announce_ip or "") as opened:
        return _run(options, directory, opened)


def _run(options: argparse.Namespace, directory: Path, session: SwarmSession | None) -> int:
    from pumice.runtime.metadata.service import stop_on_signals
    from pumice.swarm.tracker import Tracker

    progress = progress_modes.make_progress(options.progress)
    tracker = Tracker()
    with stop_on_signals() as stop:
        if not options.no_tracker:
            _start_tracker(tracker, options.tracker)
        seeded: dict[Path, bytes] = {}
        _add_new(directory, seeded, tracker, session, progress)
        if not seeded:
            progress.warn(f"{directory} has no torrents yet: publish with --torrent")
        while not select.select([stop], [], [], _RESCAN_SECONDS)[0]:
            _add_new(directory, seeded, tracker, session, progress)
    return 0


def _add_new(
    directory: Path,
    seeded: dict[Path, bytes],
    tracker: Tracker,
    session: SwarmSession | None,
    progress: Quiet,
) -> None:
    """Track and seed the torrents that were published since the last time."""
    from pumice.publish.torrent_files import find_torrents

    new_files = [file for file in find_torrents(directory) if seeded.get(file.path) != file.data]
    for file in new_files:
        seeded[file.path] = file.data
        tracker.add(file.torrent.info_hashes)
        if session is not None:
            session.seed(file.data, file.path, file.torrent.trackers)
    if new_files:
        progress.note(_describe(new_files, session is not None))


def _describe(files: Sequence[SeedableFile], is_shared: bool) -> str:
    size = output.format_size(sum(file.torrent.size for file in files))
    return f"{'sharing' if is_shared else 'tracking'} {format_count(len(files), 'torrent')} ({size})"


def _start_tracker(tracker: Tracker, address: tuple[str, int]) -> None:
    """Listen, print the URL, and respond in a thread."""
    from pumice.runtime.metadata.server import Server
    from pumice.runtime.metadata.service import listen_tcp

    listener = listen_tcp(*address)
    lock = threading.Lock()

    def respond(request: Request, source: str) -> Response:
        with lock:
            return tracker.respond(request, source, time.monotonic())

    server = Server(respond, [listener], name_client=_peer_address)
    threading.Thread(target=server.run, daemon=True).start()
    print(f"{addresses.format_url(*listener.getsockname()[:2])}/announce", flush=True)


def _peer_address(connection: socket.socket) -> str:
    """Return the address of a client; an IPv4 address in the IPv6 form as itself."""
    return str(connection.getpeername()[0]).removeprefix("::ffff:")
