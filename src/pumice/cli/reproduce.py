"""``pumice reproduce``: build an image again from its provenance and compare."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import output, progress_modes, results
from pumice.cli.image_access import reading, registries
from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import shared_options
from pumice.errors import ImageError, TrustError, UsageError
from pumice.evidence.first_difference import FirstDifference

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.assembly.rebuild_plan import RebuildPlan
    from pumice.formats.intoto import Statement
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.store.home import Home

_DIFFERENT = 1


class Reproduction(msgspec.Struct, frozen=True):
    """Whether rebuilding an image gave the same image, and the first difference if it did not."""

    digest: str
    reproduced: bool
    difference: FirstDifference | None


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice reproduce``."""
    parser = command_line.make_parser(
        "reproduce",
        "Rebuild an image from its provenance in an empty store, and compare the two images. Prints\n"
        "the first difference, by layer and path, if there is one.",
        epilog=f"{reading.REFERENCES}\nThe exit code is 0 if the image is reproduced and 1 if it is not.",
        examples=("pumice reproduce example.com/hello:1.0",),
    )
    parser.add_argument("reference", metavar="REF", help="image to rebuild")
    parser.add_argument(
        "--provenance",
        metavar="FILE",
        type=Path,
        help="use the provenance in FILE instead of the attached one",
    )
    parser.add_argument(
        "--source",
        metavar="DIR",
        type=Path,
        help="read the recipe's files from DIR instead of from the image",
    )
    shared_options.add_bundle_option(parser)
    shared_options.add_offline_option(parser)
    results.add_format_options(parser, "reproduce", default="text", example="Reproduced")
    reading.platform_option(parser)
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Rebuild an image and compare; return 1 if the result differs."""
    options = parser().parse_args(arguments)
    from pumice.assembly.rebuild_plan import read_rebuild_plan

    progress = progress_modes.make_progress(options.progress)
    with reading.open_platform(options, progress) as (image, home):
        plan = read_rebuild_plan(_read_provenance(image, options.provenance))
        if plan.subject != image.root.digest:
            raise TrustError(f"the provenance is for another image, {plan.subject}", where=image.root.digest)
        _note_other_version(plan, progress)
        difference = _compare(plan, image, home, options, progress)
    reproduction = Reproduction(image.root.digest, difference is None, difference)
    results.write_result(reproduction, options.format, lambda: _format_text(reproduction))
    return _DIFFERENT if difference else 0


def _read_provenance(image: Image, path: Path | None) -> Statement:
    from pumice.evidence import attached_documents
    from pumice.formats import intoto
    from pumice.image.regular_file import read_small
    from pumice.os_errors import suggest_path

    if path is not None:
        data = read_small(path, intoto.MAX_STATEMENT)
        if data is None:
            raise UsageError(
                "cannot read the provenance: no such file", where=str(path), hint=suggest_path(path)
            )
        return intoto.read_statement(data)
    statement = attached_documents.read_provenance(image)
    if statement is None:
        raise ImageError(
            "no provenance is attached to the image",
            where=image.root.digest,
            hint="pass it with --provenance FILE",
        )
    return statement


def _note_other_version(plan: RebuildPlan, progress: Progress) -> None:
    from pumice.version import __version__

    if plan.pumice_version != __version__:
        progress.note(f"the image was built by Pumice {plan.pumice_version}, this is {__version__}")


def _compare(
    plan: RebuildPlan, image: Image, home: Home, options: argparse.Namespace, progress: Progress
) -> FirstDifference | None:
    from pumice.assembly import reproduce
    from pumice.evidence import first_difference

    sources = reproduce.PackageSources(
        home=home, environ=os.environ, bundle=options.bundle, offline=options.offline
    )
    with reproduce.rebuild_image(
        plan, image, sources, source_directory=options.source, progress=progress
    ) as rebuilt:
        difference = first_difference.find_first_difference(image, rebuilt)
    # A file extracted from the image is equal in the rebuilt one: only the provenance can tell.
    changed = reproduce.find_changed_entry(plan, image) if options.source is None else None
    if changed and (difference is None or changed.layer <= (difference.layer or changed.layer)):
        return changed
    return difference


def _format_text(reproduction: Reproduction) -> list[str]:
    difference = reproduction.difference
    if difference is None:
        return [f"reproduced: {reproduction.digest}"]
    location = f"{difference.place}, {difference.path}" if difference.path else difference.place
    lines = [
        f"not reproduced: {reproduction.digest}",
        f"first difference: {location}: {difference.what}",
        f"  image    {difference.given}",
        f"  rebuilt  {difference.rebuilt}",
    ]
    return [output.printable(line) for line in lines]
