"""``pumice delete``: take something out of a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, registries
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def _parser() -> argparse.ArgumentParser:
    made = command_line.parser(
        "delete",
        "Delete an image in a registry.",
        progress=False,
        epilog="""A reference with a tag deletes the tag; old registries delete the image with it, or
refuse. One with a digest deletes the manifest with all its tags. Nothing is deleted by default:
the tag or digest must be written out.""",
    )
    made.add_argument("references", metavar="REF", nargs="+", help="HOST/NAME:TAG or HOST/NAME@DIGEST")
    registries.options(made)
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command; print what is gone."""
    asked = _parser().parse_args(arguments)
    from pumice.registry.reference import parse_reference

    named = [parse_reference(text, default_tag="0") for text in asked.references]
    for text, reference in zip(asked.references, named, strict=True):
        if not reference.digest and not text.endswith(f":{reference.tag}"):
            raise UsageError(
                f"{text[:200]!r} names neither tag nor digest", hint="write HOST/NAME:TAG or HOST/NAME@DIGEST"
            )
    with registries.client(asked, output.progress("none")) as client:
        for reference in named:
            client.delete(reference)
            print(reference)
    return 0
