"""``pumice publish --appc``: App Container images, and the pages by which their names are discovered."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli import discovery_options, output, publish_oci, registries, signing
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from pumice.cli.arguments import OptionGroup
    from pumice.progress import Progress


def add_options(group: OptionGroup) -> None:
    """Add the options that only ``--appc`` has."""
    group.add_argument(
        "--port", type=discovery_options.parse_port, metavar="PORT", help="port of --url (default: 443)"
    )
    group.add_argument(
        "--key", metavar="KEY", help="OpenPGP key that signs the images: a file, a name, or gpg:ID"
    )
    signing.add_passphrase_option(group)
    group.add_argument(
        "--replace", action="store_true", help="allow another image with a version that is published"
    )


def publish(options: argparse.Namespace, progress: Progress) -> int:
    """Publish the images, and print the URLs of new ones."""
    from pumice.assembly.context import read_source_date_epoch
    from pumice.clock import SystemClock
    from pumice.publish import appc, appc_sources
    from pumice.store.home import Home, locate

    if not options.url:
        raise UsageError("--appc needs --url URL", hint="pass the URL that DIR has on the web server")
    if not options.references:
        raise UsageError("REF is missing", hint="name the images to publish")
    url = appc.check_url(options.url, options.port)
    publish_oci.check_torrent_options(options)
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
        published = appc.publish_tree(
            Path(options.appc),
            url,
            sources,
            signer,
            progress,
            now=SystemClock().now(),
            signed_at=read_source_date_epoch(os.environ),
            replace=options.replace,
        )
    if options.torrent or options.torrent_v2:
        from pumice.publish import torrent_files

        torrent_files.write_torrents(
            Path(options.appc), ".aci", url, options.tracker, with_v1=not options.torrent_v2
        )
    for image in published.changed:
        print(output.printable(f"{url}/{image.file}"))
    count = len(published.changed)
    summary = f"published {count} image{'' if count == 1 else 's'} to {published.directory}"
    kept = f", {published.unchanged} unchanged" if published.unchanged else ""
    print(output.printable(summary + kept), file=sys.stderr)
    return 0
