"""``pumice publish``: write images as files that any web server can serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli.display import progress_modes
from pumice.cli.image_access import registries
from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import shared_options
from pumice.cli.publishing import publish_appc, publish_oci
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_EPILOG = """With --oci, DIR becomes a registry that docker, podman, skopeo, crane and pumice pull from once a
web server serves it; DIR/nginx.conf is the configuration for nginx. Images are added to those that
DIR has. Their signatures, SBOMs and other referrers are published too. Prints NAME:TAG@DIGEST.

With --appc, DIR has App Container images with their signatures and keys, and discovery pages
for their names. Prints the URLs of new images."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice publish``."""
    parser = command_line.make_parser(
        "publish",
        "Publish images as files for a web server.",
        epilog=_EPILOG,
        examples=(
            "pumice publish --oci /srv/registry example.com/hello:1.0",
            "pumice publish --appc DIR --url https://example.com --key KEY aci:a.aci",
        ),
    )
    parser.add_argument("references", metavar="REF", nargs="*", help="image to publish")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--oci", metavar="DIR|s3://BUCKET", help="publish a static OCI registry there")
    kinds.add_argument("--appc", metavar="DIR", help="publish App Container images there")
    parser.add_argument("--url", metavar="URL", default="", help="URL at which DIR is served")
    shared_options.add_quiet_option(parser)
    publish_oci.add_options(parser)
    publish_oci.add_prune_options(parser)
    publish_oci.add_torrent_options(parser.add_argument_group("torrents"))
    publish_appc.add_options(parser.add_argument_group("App Container"))
    registries.graph_options(parser)
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; print the names and digests of the images."""
    options = parser().parse_args(arguments)
    progress = progress_modes.make_progress(options.progress)
    if options.appc is not None:
        return publish_appc.publish(options, progress)
    if options.oci is None:
        raise _missing_kind(options.references)
    return publish_oci.publish(options, progress)


def _missing_kind(references: Sequence[str]) -> UsageError:
    """Return the error of a command line that does not say what to publish as."""
    hint = "publish to a directory with --oci DIR or --appc DIR, or to a registry with 'pumice push REF'"
    if any(reference.endswith((".yaml", ".yml")) for reference in references):
        hint = "to build an image and push it, run 'pumice build --push RECIPE'"
    return UsageError("there is no place to publish to", hint=hint)
