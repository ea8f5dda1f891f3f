"""``pumice slice diff``: compare two releases of slices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli.display import results
from pumice.cli.parsing import arguments as command_line
from pumice.cli.recipes import slice_releases

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pumice.slices.comparison import ReleaseDifference

_EPILOG = """Names and paths that only NEW has begin with +, those that only OLD has with -, and those with
other options with ~. The exit code is 1 if the releases differ."""


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice slice``."""
    action = command_line.add_action(
        parser,
        "diff",
        run,
        "compare two releases",
        epilog=_EPILOG,
        examples=("pumice slice diff bookworm ./release", "pumice slice diff ./release-1 ./release-2 --json"),
    )
    for name in ("old", "new"):
        action.add_argument(
            name, metavar=name.upper(), help="directory, tar archive or name of the release to compare"
        )
    results.add_format_options(action, "slice diff", default="text", example="AddedPackages")


def run(options: argparse.Namespace) -> int:
    """Print what differs."""
    from pumice.slices.comparison import compare_releases
    from pumice.slices.release import load_release
    from pumice.slices.releases import find_release

    with slice_releases.open_home() as home:
        old, new = (load_release(find_release(name, Path()), (), home) for name in (options.old, options.new))
    difference = compare_releases(old, new)
    results.write_result(difference, options.format, lambda: _format(difference))
    return 1 if difference.slices or difference.added_packages or difference.removed_packages else 0


def _format(difference: ReleaseDifference) -> Iterator[str]:
    yield from (f"+{name}" for name in difference.added_packages)
    yield from (f"-{name}" for name in difference.removed_packages)
    whole_packages = {*difference.added_packages, *difference.removed_packages}
    for change in difference.slices:
        if change.kind != "changed":
            if change.slice.partition("_")[0] not in whole_packages:
                yield f"{'+' if change.kind == 'added' else '-'}{change.slice}"
            continue
        yield f"~{change.slice}"
        lines = [*change.essential, *change.paths]
        lines += ["~mutate"] if change.mutate else []
        lines += ["~hint"] if change.hint else []
        yield from (f"  {line}" for line in lines)
