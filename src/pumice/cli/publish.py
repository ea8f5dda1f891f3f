"""``pumice publish``: publish images as static files for any web server."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import discovery_options, output, registries
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_EPILOG = """DIR becomes the document root of the web server at URL: images with their signatures and keys,
discovery pages, and an index page for people. Publish to it again to add images: what clients are
downloading does not change. REF is an image in the store, or any location. For a port other than 443,
write it in URL, or pass --port; people pass it to 'pumice fetch', too."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice publish``."""
    parser = command_line.make_parser(
        "publish",
        "Publish images as static files for any web server.",
        epilog=_EPILOG,
        examples=(
            "pumice publish --appc www --url https://example.com --key ada example.com/app:1.0",
            "pumice publish --appc www --url https://example.com aci:signed.aci",
        ),
    )
    parser.add_argument("references", metavar="REF", nargs="+", help="images to publish")
    targets = parser.add_mutually_exclusive_group(required=True)
    targets.add_argument(
        "--appc", metavar="DIR", type=Path, help="publish App Container images, to be fetched by their names"
    )
    _add_appc_options(parser.add_argument_group("App Container"))
    parser.add_argument("--platform", metavar="PLATFORM", help="publish this platform only")
    command_line.add_quiet_option(parser)
    registries.options(parser)
    return parser


def _add_appc_options(group: argparse._ArgumentGroup) -> None:
    from pumice.cli import signing

    group.add_argument(
        "--url", metavar="URL", help="URL of DIR on the web server, such as https://example.com"
    )
    group.add_argument(
        "--port", type=discovery_options.parse_port, metavar="PORT", help="port of URL (default: 443)"
    )
    group.add_argument(
        "--key", metavar="KEY", help="OpenPGP key that signs the images: a file, a name, or gpg:ID"
    )
    signing.add_passphrase_option(group)
    group.add_argument(
        "--replace", action="store_true", help="allow another image with a version that is published"
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    return _publish_appc(options)


def _publish_appc(options: argparse.Namespace) -> int:
    from pumice.assembly.context import read_source_date_epoch
    from pumice.clock import SystemClock
    from pumice.publish import appc, appc_sources
    from pumice.store.home import Home, locate

    if options.url is None:
        raise UsageError("--appc needs --url URL", hint="pass the URL that DIR has on the web server")
    url = appc.check_url(options.url, options.port)
    signer = None
    if options.key is not None:
        from pumice.cli import signing

        signer = signing.open_archive_signer(options.key, options.passphrase_file)
    progress = output.make_progress(options.progress)
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
            options.appc,
            url,
            sources,
            signer,
            progress,
            now=SystemClock().now(),
            signed_at=read_source_date_epoch(os.environ),
            replace=options.replace,
        )
    for image in published.changed:
        print(output.printable(f"{url}/{image.file}"))
    count = len(published.changed)
    summary = f"published {count} image{'' if count == 1 else 's'} to {published.directory}"
    kept = f", {published.unchanged} unchanged" if published.unchanged else ""
    print(output.printable(summary + kept), file=sys.stderr)
    return 0
