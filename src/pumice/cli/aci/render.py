"""``pumice aci render``: combine an App Container image with its dependencies."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli.display import progress_modes
from pumice.cli.image_access import aci_options, registries
from pumice.cli.parsing import arguments as command_line
from pumice.cli.pods import app_container_images

if TYPE_CHECKING:
    import argparse


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice aci``."""
    action = command_line.add_action(
        parser,
        "render",
        run,
        "combine an image with its dependencies",
        progress=True,
        examples=(
            "pumice aci render app.aci --dependency base.aci dir:root",
            "pumice aci render app.aci --dependency base.aci aci:complete.aci",
        ),
    )
    action.add_argument("file", metavar="FILE", help="image to read")
    action.add_argument(
        "target", metavar="DST", help="where to write it, such as dir:DIR, aci:FILE or oci:DIR"
    )
    action.add_argument(
        "--dependency",
        dest="dependencies",
        action="append",
        default=[],
        metavar="FILE",
        help="image that FILE or another dependency may depend on (repeatable)",
    )
    aci_options.add_non_standard_option(action)


def run(options: argparse.Namespace) -> int:
    """Write the complete image; print its digest."""
    from pumice.image import aci_rendering
    from pumice.image.transports import destination_checks, references
    from pumice.image.transports.locations import OutgoingImage
    from pumice.store.home import Home, locate

    progress = progress_modes.make_progress(options.progress)
    app_container_images.check_files("--dependency", options.dependencies)
    target = references.parse_destination(options.target)
    destination_checks.check_place(target.address)
    rendered = aci_rendering.render(
        Path(options.file),
        [Path(dependency) for dependency in options.dependencies],
        progress,
        non_standard=options.non_standard,
    )
    aci_options.print_warnings("", rendered.warnings)
    with (
        Home(locate(os.environ), progress=progress) as home,
        registries.access(home, progress, stdout=sys.stdout.buffer) as access,
    ):
        outgoing = OutgoingImage(image=rendered.image, name=rendered.name, version=rendered.version)
        target.write(outgoing, access)
    is_piped = target.address.path == "-"
    print(rendered.image.root.digest, file=sys.stderr if is_piped else sys.stdout)
    return 0
