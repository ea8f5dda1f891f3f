"""``pumice aci build``: build an App Container image from an image layout."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli.display import progress_modes
from pumice.cli.image_access import aci_options
from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    import argparse


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice aci``."""
    action = command_line.add_action(
        parser,
        "build",
        run,
        "build an image from an image layout",
        progress=True,
        examples=("pumice aci build layout hello.aci",),
    )
    action.add_argument("directory", metavar="DIR", help="directory with a manifest and a rootfs")
    action.add_argument("file", metavar="FILE", help="image to write; - is standard output")
    action.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    action.add_argument("--owner-root", action="store_true", help="record root as the owner of all files")
    action.add_argument(
        "--no-compression", action="store_true", help="do not compress: the same as --compression none"
    )
    aci_options.add_compression_options(action)


def run(options: argparse.Namespace) -> int:
    """Write the image; print its image ID."""
    from pumice.assembly.context import read_source_date_epoch
    from pumice.image import aci_layout
    from pumice.image.output import Output

    compression = "none" if options.no_compression else aci_options.check_compression(options)
    aci_options.check_free(options.file, overwrite=options.overwrite)
    layout = Path(options.directory)
    _, warnings = aci_layout.read_layout_manifest(layout)
    aci_options.print_warnings(str(layout), warnings)
    layout_options = aci_layout.LayoutOptions(
        compression=compression,
        owner_root=options.owner_root,
        newest=read_source_date_epoch(os.environ),
    )
    with Output(options.file, sys.stdout.buffer) as file:
        image_id = aci_layout.write_layout(
            layout, file, layout_options, progress_modes.make_progress(options.progress)
        )
    print(image_id, file=sys.stderr if options.file == "-" else sys.stdout)
    return 0
