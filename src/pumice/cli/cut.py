"""``pumice cut``: cut slices of packages into a directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli.display import progress_modes
from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import shared_options
from pumice.cli.recipes import slice_releases
from pumice.terminal import format_count

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.progress import Progress
    from pumice.slices.model import Release

_EPILOG = """A slice is written as PACKAGE_SLICE, as in openssl_bins. If the directory has a manifest of an
earlier cut, its slices are cut again with the new ones, and files that no slice lists any longer are
removed. Owners, modes, times and extended attributes are those of the packages, as far as your
permissions allow."""


def parser() -> command_line.Parser:
    """Return the parser of ``pumice cut``."""
    parser = command_line.make_parser(
        "cut",
        "Cut slices of packages into a directory.",
        epilog=_EPILOG,
        examples=(
            "pumice cut --root rootfs openssl_bins ca-certificates_data",
            "pumice cut --root rootfs --release ./release tool_bins",
            "pumice cut --root rootfs",
        ),
    )
    parser.add_argument("slices", metavar="SLICE", nargs="*", help="slice to cut, with all it requires")
    parser.add_argument("--root", metavar="DIR", type=Path, required=True, help="directory to write into")
    slice_releases.add_release_options(parser)
    slice_releases.add_package_options(parser)
    parser.add_argument(
        "--ignore",
        choices=("unmaintained", "unstable"),
        action="append",
        default=[],
        metavar="WHAT",
        help="cut even if the release is unmaintained or unstable (repeatable)",
    )
    shared_options.add_quiet_option(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    from pumice.assembly.slice_cut import cut_slices
    from pumice.assembly.slice_root import check_root, find_manifest, write_root
    from pumice.errors import UsageError

    options = parser().parse_args(arguments)
    progress = progress_modes.make_progress(options.progress)
    with slice_releases.open_home() as home:
        release = slice_releases.load(options, home)
        _check_maintenance(release, options.ignore)
        manifest = find_manifest(options.root, release)
        names = sorted({*options.slices, *(manifest.slices if manifest else ())})
        if not names:
            raise UsageError("SLICE is missing", hint="name a slice, such as openssl_bins")
        check_root(options.root)
        settings = slice_releases.cut_settings(options)
        cut = cut_slices(release, names, settings, home, environ=os.environ, progress=progress)
        for note in (*release.notes, *cut.notes):
            progress.warn(note)
        write_root(cut, options.root, manifest, progress)
    _summarize(options, progress, len(cut.selected.slices), len(cut.selected.packages))
    return 0


def _summarize(options: argparse.Namespace, progress: Progress, slices: int, packages: int) -> None:
    counts = f"{format_count(slices, 'slice')} of {format_count(packages, 'package')}"
    progress.note(f"cut {counts} into {options.root}")


def _check_maintenance(release: Release, ignored: Sequence[str]) -> None:
    from pumice.clock import SystemClock, format_rfc3339
    from pumice.errors import UsageError

    today = format_rfc3339(SystemClock().now())[:10]
    dates = release.maintenance
    if today < dates.standard and "unstable" not in ignored:
        message = f"the release is not stable before {dates.standard}"
        raise UsageError(message, hint="pass --ignore unstable to cut from it")
    if today >= dates.supported_until and "unmaintained" not in ignored:
        message = f"the release is not maintained since {dates.supported_until}"
        raise UsageError(message, hint="pass --ignore unmaintained to cut from it")
