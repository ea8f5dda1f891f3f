"""``pumice tags``: what a repository has."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, registries

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def _parser() -> argparse.ArgumentParser:
    made = command_line.parser(
        "tags",
        "List the tags of a repository, one a line.",
        progress=False,
        epilog="Tags that hold other images' signatures and referrers (sha256-…) are shown with --all.",
    )
    made.add_argument("repository", metavar="REPOSITORY", help="[docker://]HOST/NAME")
    made.add_argument("--all", action="store_true", help="also tags that belong to other images")
    registries.options(made)
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = _parser().parse_args(arguments)
    from pumice.registry.reference import is_attachment_tag, parse_repository

    repository = parse_repository(asked.repository)
    with registries.client(asked, output.progress("none")) as client:
        found = client.list_tags(repository)
    shown = (tag for tag in found if asked.all or not is_attachment_tag(tag))
    sys.stdout.write("".join(f"{output.printable(tag)}\n" for tag in shown))
    return 0
