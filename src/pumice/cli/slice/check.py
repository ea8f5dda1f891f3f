"""``pumice slice check``: check the definitions of a release."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.cli.parsing import arguments as command_line
from pumice.cli.recipes import slice_releases
from pumice.terminal import format_count

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.slices.model import Slice

_EPILOG = """All problems are printed, each with its file, line and column. The exit code is 8 if there is
one. With SLICE, only conflicts between these slices and those that they require are reported. With --suite,
packages are fetched, and these are problems, too: paths that no package has, libraries that no required
slice has, links that lead nowhere, and directories with different modes."""


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice slice``."""
    action = command_line.add_action(
        parser,
        "check",
        run,
        "check the definitions of a release",
        epilog=_EPILOG,
        examples=(
            "pumice slice check --release ./chisel-releases",
            "pumice slice check openssl_bins --release ./chisel-releases",
            "pumice slice check --suite bookworm",
        ),
        progress=True,
    )
    action.add_argument("slices", metavar="SLICE", nargs="*", help="check only these slices together")
    slice_releases.add_release_options(action)
    packages = action.add_argument_group("packages")
    packages.add_argument(
        "--suite",
        metavar="SUITE",
        action="append",
        default=[],
        help="check against the packages of SUITE of the archives of the release (repeatable)",
    )
    slice_releases.add_package_options(packages)


def run(options: argparse.Namespace) -> int:
    """Check a release and print its numbers of packages and slices."""
    from pumice.cli.display import progress_modes
    from pumice.slices import closure
    from pumice.slices.release import check_closure
    from pumice.slices.scripts import check_scripts

    progress = progress_modes.make_progress(options.progress)
    with slice_releases.open_home() as home:
        release = slice_releases.load(options, home, check_all=not options.slices)
        slices = closure.select(release, options.slices) if options.slices else list(release.all_slices())
        if options.slices:
            check_closure(release, slices)
        check_scripts(release, slices)
        for note in release.notes:
            progress.warn(note)
        if options.suite:
            from pumice.assembly.slice_check import check_against_packages, with_suites

            settings = slice_releases.cut_settings(options)
            cut = closure.select(release, options.slices, settings.architecture) if options.slices else slices
            check_against_packages(
                *(with_suites(release, options.suite), cut, settings, home),
                environ=os.environ,
                progress=progress,
                skips_absent=not options.slices,
            )
    print(f"{_describe(slices)}: no problems")
    return 0


def _describe(slices: Sequence[Slice]) -> str:
    packages = format_count(len({item.package for item in slices}), "package")
    paths = format_count(sum(len(item.contents) for item in slices), "path")
    return f"{format_count(len(slices), 'slice')} of {packages} with {paths}"
