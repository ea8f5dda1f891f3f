"""``pumice delete``: delete images in a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli.display import progress_modes
from pumice.cli.image_access import registries
from pumice.cli.parsing import arguments as command_line
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice delete``."""
    parser = command_line.make_parser(
        "delete",
        "Delete tags or images in a registry.",
        progress=False,
        epilog="""A reference with a tag deletes the tag; old registries also delete the image, or refuse.
A reference with a digest deletes the manifest and all its tags. There is no default tag: the tag or digest
is required.""",
        examples=("pumice delete registry.example/team/hello:1.0",),
    )
    parser.add_argument("references", metavar="REF", nargs="+", help="HOST/NAME:TAG or HOST/NAME@DIGEST")
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; print the deleted references."""
    options = parser().parse_args(arguments)
    from pumice.image.transports.references import parse_registry_reference

    references = [parse_registry_reference(text, default_tag="0") for text in options.references]
    for text, reference in zip(options.references, references, strict=True):
        if not reference.digest and not text.endswith(f":{reference.tag}"):
            raise UsageError(
                f"{text[:200]!r} has neither a tag nor a digest", hint="use HOST/NAME:TAG or HOST/NAME@DIGEST"
            )
    with registries.client(options, progress_modes.make_progress("none")) as client:
        for reference in references:
            client.delete(reference)
            print(reference)
    return 0
