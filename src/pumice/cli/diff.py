"""``pumice diff``: how two images differ."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, reading, registries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.cli.arguments import Parser
    from pumice.evidence.comparison import Change, Difference

_DIFFERENT = 1
_MOST = 1000


def _parser() -> Parser:
    made = command_line.parser(
        "diff",
        "Show how two images differ: packages, files, configuration, licenses, sizes, and the bytes\n"
        "that a client which has A must pull for B.",
        progress=False,
        epilog=f"{reading.REFERENCES}\nEnds with 0 if they are the same and 1 if they differ.",
    )
    made.add_argument("old", metavar="A", help="an image (REF)")
    made.add_argument("new", metavar="B", help="another image (REF)")
    made.add_argument(
        "--semantic", action="store_true", help="leave out times and how files are spread over layers"
    )
    made.add_argument(
        "--format",
        choices=("text", "json", "markdown"),
        default="text",
        metavar="FORMAT",
        help="text (the default), json or markdown",
    )
    reading.platform_option(made)
    return made


def main(arguments: Sequence[str]) -> int:
    """Print the difference; return 1 if there is one."""
    asked = _parser().parse_args(arguments)
    from pumice.evidence import comparison
    from pumice.store.home import Home, locate

    with (
        Home(locate(os.environ)) as home,
        registries.open_image(asked.old, home) as before,
        registries.open_image(asked.new, home) as after,
    ):
        old, new = reading.chosen(before, asked.platform), reading.chosen(after, asked.platform)
        found = comparison.compare(old, new, semantic=asked.semantic, records=home.records)
    if asked.format == "json":
        import json

        import msgspec

        text = json.dumps(msgspec.to_builtins(found), indent=1) + "\n"
    else:
        lines = _markdown(found) if asked.format == "markdown" else _text(found)
        text = "".join(f"{output.printable(line)}\n" for line in lines)
    sys.stdout.write(text)
    return 0 if found.same else _DIFFERENT


def _sections(found: Difference) -> Iterator[tuple[str, Sequence[Change]]]:
    for title, changes in (
        ("packages", found.packages),
        ("configuration", found.config),
        ("files", found.files),
        ("licenses", found.licenses),
        ("layers", found.layers),
    ):
        if changes:
            yield title, changes


def _text(found: Difference) -> Iterator[str]:
    if found.same:
        yield f"the same: {found.digests[0]}" if len(set(found.digests)) == 1 else "the same in what counts"
        return
    yield f"- {found.digests[0]}"
    yield f"+ {found.digests[1]}"
    for title, changes in _sections(found):
        yield ""
        yield f"{title} ({len(changes)})"
        for change in changes[:_MOST]:
            sign = "+" if not change.old else "-" if not change.new else "~"
            yield f"  {sign} {_one_line(change.name)}  {_one_line(_arrow(change))}"
        if len(changes) > _MOST:
            yield f"  and {len(changes) - _MOST} more: --format json lists all"
    yield ""
    yield from _sizes(found)


def _sizes(found: Difference) -> Iterator[str]:
    yield f"size      {output.size(found.size[0])} -> {output.size(found.size[1])}"
    yield f"unpacked  {output.size(found.unpacked[0])} -> {output.size(found.unpacked[1])}"
    yield f"to pull   {output.size(found.pull)}"


def _arrow(change: Change) -> str:
    if change.old and change.new:
        return f"{change.old} -> {change.new}"
    return change.old or change.new


def _markdown(found: Difference) -> Iterator[str]:
    yield "| | A | B |"
    yield "|---|---|---|"
    yield f"| digest | `{found.digests[0]}` | `{found.digests[1]}` |"
    yield f"| size | {output.size(found.size[0])} | {output.size(found.size[1])} |"
    yield f"| unpacked | {output.size(found.unpacked[0])} | {output.size(found.unpacked[1])} |"
    yield f"| to pull | | {output.size(found.pull)} |"
    for title, changes in _sections(found):
        yield ""
        yield f"### {title.capitalize()} ({len(changes)})"
        yield ""
        yield "| | A | B |"
        yield "|---|---|---|"
        for change in changes[:_MOST]:
            yield f"| {_cell(change.name)} | {_cell(change.old)} | {_cell(change.new)} |"
        if len(changes) > _MOST:
            yield f"| and {len(changes) - _MOST} more | | |"


def _cell(text: str) -> str:
    escaped = _one_line(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return escaped.replace("`", "\\`").replace("[", "\\[")


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n")
