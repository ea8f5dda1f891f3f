"""``pumice reproduce``: build an image again from its provenance and compare."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, reading, registries
from pumice.errors import ImageError, TrustError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.assembly.platform import PlatformImage
    from pumice.assembly.reproduce import RebuildPlan
    from pumice.evidence.first_difference import Found
    from pumice.formats.intoto import Statement
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.store.home import Home

_DIFFERENT = 1


def _parser() -> argparse.ArgumentParser:
    made = command_line.parser(
        "reproduce",
        "Build an image again from its provenance, in an empty store, and compare. Identical, or the\n"
        "first difference by layer and path.",
        epilog=f"{reading.REFERENCES}\nEnds with 0 if the image is reproduced and 1 if it is not.",
    )
    made.add_argument("reference", metavar="REF", help="the image")
    made.add_argument(
        "--provenance", metavar="FILE", type=Path, help="the statement to go by, instead of the attached one"
    )
    made.add_argument(
        "--source", metavar="DIR", type=Path, help="take the recipe's files from here, not from the image"
    )
    command_line.bundle_option(made)
    command_line.offline_option(made)
    command_line.format_option(made)
    reading.platform_option(made)
    return made


def main(arguments: Sequence[str]) -> int:
    """Rebuild and compare; return 1 if the result is another."""
    asked = _parser().parse_args(arguments)
    from pumice.assembly import reproduce
    from pumice.store.home import Home, locate

    progress = output.progress(asked.progress)
    with (
        Home(locate(os.environ), progress=progress) as home,
        registries.open_image(asked.reference, home, progress) as whole,
    ):
        image = reading.chosen(whole, asked.platform)
        ordered = reproduce.read_rebuild_plan(_statement(image, asked.provenance))
        if ordered.subject != image.root.digest:
            raise TrustError(
                f"the provenance is about another image, {ordered.subject}", where=image.root.digest
            )
        _warn(ordered, progress)
        found = _compare(ordered, image, home, asked, progress)
    _tell(image, found, asked.format)
    return _DIFFERENT if found else 0


def _statement(image: Image, path: Path | None) -> Statement:
    from pumice.evidence import attached_documents
    from pumice.formats import intoto
    from pumice.image.regular_file import read_small

    if path is not None:
        data = read_small(path, intoto.MAX_STATEMENT)
        if data is None:
            raise UsageError("there is no such file", hint=f"looked for {path}")
        return intoto.read_statement(data)
    found = attached_documents.provenance(image)
    if found is None:
        raise ImageError(
            "no provenance is attached to the image",
            where=image.root.digest,
            hint="give it with --provenance",
        )
    return found


def _warn(ordered: RebuildPlan, progress: Progress) -> None:
    from pumice.version import __version__

    if ordered.pumice != __version__:
        progress.note(f"the image was built by Pumice {ordered.pumice}, this is {__version__}")


def _compare(
    ordered: RebuildPlan, image: Image, home: Home, asked: argparse.Namespace, progress: Progress
) -> Found | None:
    from pumice.assembly import reproduce
    from pumice.evidence import first_difference
    from pumice.image.model import Image as Images

    found: list[Found | None] = []

    def look(built: PlatformImage, clean: Home) -> None:
        found.append(first_difference.find(image, Images(built.manifest, clean.blobs)))

    reproduce.rebuild_image(
        ordered,
        image,
        home,
        os.environ,
        source=asked.source,
        bundle=asked.bundle,
        offline=asked.offline,
        progress=progress,
        inspect=look,
    )
    own = reproduce.find_changed_entry(ordered, image) if asked.source is None else None
    # What was taken out of the image is the same in the rebuilt one: only the provenance can tell.
    if own and (found[0] is None or own.layer <= (found[0].layer or own.layer)):
        return own
    return found[0]


def _tell(image: Image, found: Found | None, form: str) -> None:
    if form == "json":
        import json

        import msgspec

        value = {
            "digest": image.root.digest,
            "reproduced": found is None,
            "difference": msgspec.to_builtins(found) if found else None,
        }
        sys.stdout.write(json.dumps(value, indent=1) + "\n")
        return
    if found is None:
        sys.stdout.write(f"reproduced: {image.root.digest}\n")
        return
    lines = [f"not reproduced: {image.root.digest}"]
    lines.append(f"first difference: {found.place}{', ' + found.path if found.path else ''}: {found.what}")
    lines += [f"  image    {found.given}", f"  rebuilt  {found.rebuilt}"]
    sys.stdout.write("".join(f"{output.printable(line)}\n" for line in lines))
