"""``pumice diff``: show how two images differ."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.cli.display import output, results
from pumice.cli.image_access import reading, registries
from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.cli.parsing.arguments import Parser
    from pumice.evidence.comparison import Change, Difference

_DIFFERENT = 1
_MAX_CHANGES = 1000


def parser() -> Parser:
    """Return the parser of ``pumice diff``."""
    parser = command_line.make_parser(
        "diff",
        "Show how two images differ in packages, files, configuration, licenses and size, and how many\n"
        "bytes a client that has A must pull to get B.",
        progress=False,
        epilog=f"{reading.REFERENCES}\nThe exit code is 0 if the images are equal and 1 if they differ.",
        examples=("pumice diff example.com/hello:1.0 example.com/hello:1.1",),
    )
    parser.add_argument("old", metavar="A", help="first image (REF)")
    parser.add_argument("new", metavar="B", help="second image (REF)")
    parser.add_argument(
        "--semantic", action="store_true", help="ignore timestamps and how files are divided into layers"
    )
    results.add_format_options(parser, "diff", default="text", others=("markdown",), example="Pull")
    reading.platform_option(parser)
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Print the difference; return 1 if there is one."""
    options = parser().parse_args(arguments)
    from pumice.evidence import comparison
    from pumice.store.home import Home, locate

    with (
        Home(locate(os.environ)) as home,
        registries.open_image(options.old, home, options=options) as old_root,
        registries.open_image(options.new, home, options=options) as new_root,
    ):
        old, new = (
            reading.select_platform(old_root, options.platform),
            reading.select_platform(new_root, options.platform),
        )
        difference = comparison.compare_images(old, new, semantic=options.semantic, records=home.records)
    present = _format_markdown if options.format.name == "markdown" else _format_text
    results.write_result(difference, options.format, lambda: map(output.printable, present(difference)))
    return 0 if difference.same else _DIFFERENT


def _sections(difference: Difference) -> Iterator[tuple[str, Sequence[Change]]]:
    for title, changes in (
        ("packages", difference.packages),
        ("configuration", difference.config),
        ("files", difference.files),
        ("licenses", difference.licenses),
        ("layers", difference.layers),
    ):
        if changes:
            yield title, changes


def _format_text(difference: Difference) -> Iterator[str]:
    if difference.same:
        yield (
            f"the same: {difference.digests[0]}"
            if len(set(difference.digests)) == 1
            else "the same except for timestamps and layers"
        )
        return
    yield f"- {difference.digests[0]}"
    yield f"+ {difference.digests[1]}"
    for title, changes in _sections(difference):
        yield ""
        yield f"{title} ({len(changes)})"
        for change in changes[:_MAX_CHANGES]:
            sign = "+" if not change.old else "-" if not change.new else "~"
            yield f"  {sign} {_one_line(change.name)}  {_one_line(_format_values(change))}"
        if len(changes) > _MAX_CHANGES:
            yield f"  and {len(changes) - _MAX_CHANGES} more; use --format json to list all"
    yield ""
    yield from _format_sizes(difference)


def _format_sizes(difference: Difference) -> Iterator[str]:
    for label, sizes in (("size", difference.size), ("unpacked", difference.unpacked)):
        yield f"{label:<8}  {output.format_size(sizes[0])} -> {output.format_size(sizes[1])}"
    yield f"to pull   {output.format_size(difference.pull)}"


def _format_values(change: Change) -> str:
    if change.old and change.new:
        return f"{change.old} -> {change.new}"
    return change.old or change.new


def _format_markdown(difference: Difference) -> Iterator[str]:
    yield "| | A | B |"
    yield "|---|---|---|"
    yield f"| digest | `{difference.digests[0]}` | `{difference.digests[1]}` |"
    for label, sizes in (("size", difference.size), ("unpacked", difference.unpacked)):
        yield f"| {label} | {output.format_size(sizes[0])} | {output.format_size(sizes[1])} |"
    yield f"| to pull | | {output.format_size(difference.pull)} |"
    for title, changes in _sections(difference):
        yield ""
        yield f"### {title.capitalize()} ({len(changes)})"
        yield ""
        yield "| | A | B |"
        yield "|---|---|---|"
        for change in changes[:_MAX_CHANGES]:
            yield f"| {_format_cell(change.name)} | {_format_cell(change.old)} | {_format_cell(change.new)} |"
        if len(changes) > _MAX_CHANGES:
            yield f"| and {len(changes) - _MAX_CHANGES} more | | |"


def _format_cell(text: str) -> str:
    escaped = _one_line(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return escaped.replace("`", "\\`").replace("[", "\\[")


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n")
