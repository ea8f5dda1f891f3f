"""``pumice aci cat-manifest``: print the manifest of an App Container image."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli.image_access import aci_options
from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    import argparse


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice aci``."""
    action = command_line.add_action(
        parser,
        "cat-manifest",
        run,
        "print the manifest of an image",
        examples=("pumice aci cat-manifest --pretty-print hello.aci",),
    )
    action.add_argument("file", metavar="FILE", help="image to read")
    action.add_argument("--pretty-print", action="store_true", help="indent the manifest")
    aci_options.add_non_standard_option(action)


def run(options: argparse.Namespace) -> int:
    """Print the manifest as the image has it, or indented."""
    import json

    from pumice.appc.image_manifest import MAX_MANIFEST, read_image_manifest
    from pumice.formats import strictjson
    from pumice.image import aci_reader

    path = Path(options.file)
    data = aci_reader.read_manifest(path, non_standard=options.non_standard)
    with aci_reader.naming_file(path):
        read_image_manifest(data)
    text = data.decode()
    if options.pretty_print:
        document = strictjson.read_object(data, "image manifest", limit=MAX_MANIFEST)
        text = json.dumps(document, indent=4, ensure_ascii=False)
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
    return 0
