"""``pumice store``: verify or locate the local store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output
from pumice.errors import StoreError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.store.verification import Findings


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice store``."""
    parser = command_line.make_parser(
        "store",
        "Verify or locate the local store.\n\n"
        "  verify  hash all content and report damage\n"
        "  path    print the directory of the store",
    )
    parser.add_argument("action", choices=("verify", "path"), metavar="ACTION", help="verify or path")
    parser.add_argument(
        "--repair",
        action="store_true",
        help="with verify: remove damaged content; the next build makes or fetches it again",
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    store_parser = parser()
    options = store_parser.parse_args(arguments)
    from pumice.store.home import Home, locate

    root = locate(os.environ)
    if options.action == "path":
        if options.repair:
            store_parser.error("--repair can only be used with verify")
        print(root)
        return 0
    from pumice.store.verification import verify

    progress = output.make_progress(options.progress)
    with Home(root, progress=progress) as home:
        findings = verify(home, progress, repair=options.repair)
    for line in _format_findings(findings):
        print(output.printable(line))
    if findings.is_sound() or (options.repair and not findings.incomplete):
        return 0
    if options.repair:
        raise StoreError(
            "some images are incomplete", hint="build them again, or remove them with 'pumice rm'"
        )
    raise StoreError(
        "the store is damaged", hint="run 'pumice store verify --repair', then build the images again"
    )


def _format_findings(findings: Findings) -> list[str]:
    lines = [f"damaged blob {digest}" for digest in findings.damaged]
    lines += [f"damaged reference {name}" for name in findings.references]
    for name, missing in findings.incomplete.items():
        lines += [f"incomplete image {name}: {digest} is damaged or missing" for digest in missing]
    if findings.records:
        lines.append(f"{findings.records} damaged records (harmless: they count as missing)")
    lines.append(f"{findings.blobs} blobs verified, {len(findings.damaged)} damaged")
    return lines
