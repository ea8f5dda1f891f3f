"""``pumice publish --appc``: App Container images, and the pages by which their names are discovered."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from pumice.cli.display import output
from pumice.cli.image_access import discovery_options, registries, signing
from pumice.cli.publishing import publish_oci
from pumice.errors import UsageError
from pumice.terminal import format_count

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from pumice.cli.display.presenters import Quiet
    from pumice.cli.display.summaries import Summary
    from pumice.cli.parsing.arguments import OptionGroup
    from pumice.progress import Progress
    from pumice.publish.appc import Published


def add_options(group: OptionGroup) -> None:
    """Add the options that only ``--appc`` has."""
    group.add_argument(
        "--port", type=discovery_options.parse_port, metavar="PORT", help="port of --url (default: 443)"
    )
    group.add_argument(
        "--key",
        metavar="KEY",
        help="OpenPGP key that signs the images: a file, a name from 'pumice key list', or gpg:ID",
    )
    signing.add_passphrase_option(group)
    group.add_argument(
        "--replace", action="store_true", help="replace an image whose version is already published"
    )


def publish(options: argparse.Namespace, progress: Quiet) -> int:
    """Publish the images, and print the URLs of new ones."""
    from pumice.image.output import check_directory
    from pumice.publish import appc

    _check_options(options)
    url = appc.check_url(options.url, options.port)
    check_directory(options.appc)
    started = time.monotonic()
    published = _publish_tree(options, url, progress)
    for image in published.changed:
        print(output.printable(f"{url}/{quote(image.file)}"))
    progress.finish(_summarize(published, url, time.monotonic() - started))
    return 0


def _check_options(options: argparse.Namespace) -> None:
    if not options.url:
        raise UsageError("--appc needs --url URL", hint="pass the URL that DIR has on the web server")
    if not (options.references or options.untag or options.prune):
        raise UsageError("REF is missing", hint="name the images to publish")
    if "://" in options.appc:
        raise UsageError(
            f"{options.appc[:100]!r} is not a directory",
            hint="publish to a directory, and copy that to the web server or bucket",
        )
    if options.name:
        raise UsageError(
            "--name is for --oci", hint="the image has its name: pumice convert --name NAME REF aci:FILE"
        )
    publish_oci.check_torrent_options(options)


def _publish_tree(options: argparse.Namespace, url: str, progress: Progress) -> Published:
    from pumice.assembly.context import read_source_date_epoch
    from pumice.clock import SystemClock
    from pumice.publish import appc, appc_sources, torrent_files
    from pumice.store.home import Home, locate

    def write_torrents(files: Mapping[str, str]) -> None:
        with_v1 = not options.torrent_v2
        torrent_files.write_torrents(Path(options.appc), files, url, options.tracker, with_v1=with_v1)

    untagged = [_split_name(name) for name in options.untag]
    signer = None
    if options.key is not None:
        signer = signing.open_archive_signer(options.key, options.passphrase_file)
    with (
        Home(locate(os.environ), progress=progress) as home,
        registries.access(home, progress, options) as access,
    ):
        sources = [
            source
            for reference in options.references
            for source in appc_sources.find_sources(reference, home, access, options.platform)
        ]
        return appc.publish_tree(
            Path(options.appc),
            url,
            sources,
            signer,
            progress,
            now=SystemClock().now(),
            signed_at=read_source_date_epoch(os.environ),
            replace=options.replace,
            write_torrents=write_torrents if options.torrent or options.torrent_v2 else None,
            untagged=untagged,
            grace=options.grace_period * publish_oci.HOUR if options.prune else None,
        )


def _split_name(text: str) -> tuple[str, str]:
    name, _, version = text.partition(":")
    if not name or not version:
        raise UsageError(f"{text[:200]!r} has no version", hint="write --untag NAME:VERSION")
    return name, version


def _summarize(published: Published, url: str, seconds: float) -> Summary:
    from pumice.cli.display.summaries import Summary

    parts = [f"published {format_count(len(published.changed), 'image')} to {published.directory}"]
    if published.unchanged:
        parts.append(f"{published.unchanged} unchanged")
    data: dict[str, object] = {
        "images": [f"{image.name}:{image.version}" for image in published.changed],
        "urls": [f"{url}/{quote(image.file)}" for image in published.changed],
        "destination": str(published.directory),
        "present": published.unchanged,
    }
    if removed := published.removed:
        files = f"{format_count(removed.files, 'file')} ({output.format_size(removed.size)})"
        parts.append(f"{files} removed, {removed.waiting} in their grace period")
        data |= {"removed": removed.files, "removed_size": removed.size, "waiting": removed.waiting}
    return Summary(event="published", headline=", ".join(parts), data={**data, "seconds": round(seconds, 3)})
