"""``pumice store``: look after the local store."""

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


def _parser() -> argparse.ArgumentParser:
    made = command_line.parser(
        "store",
        "Look after the local store.\n\n"
        "  verify  read everything again and report what is damaged\n"
        "  path    print where the store is",
    )
    made.add_argument("action", choices=("verify", "path"), metavar="ACTION", help="verify or path")
    made.add_argument(
        "--repair",
        action="store_true",
        help="with verify: remove what is damaged, so that the next build makes or fetches it again",
    )
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    made = _parser()
    asked = made.parse_args(arguments)
    from pumice.store.home import Home, locate

    root = locate(os.environ)
    if asked.action == "path":
        if asked.repair:
            made.error("--repair goes with verify")
        print(root)
        return 0
    from pumice.store.verification import verify

    progress = output.progress(asked.progress)
    with Home(root, progress=progress) as home:
        findings = verify(home, progress, repair=asked.repair)
    for line in _lines(findings):
        print(output.printable(line))
    if findings.is_sound() or (asked.repair and not findings.incomplete):
        return 0
    if asked.repair:
        raise StoreError(
            "some images are incomplete now", hint="build them again, or remove them with pumice rm"
        )
    raise StoreError("the store is damaged", hint="run pumice store verify --repair, then build again")


def _lines(findings: Findings) -> list[str]:
    lines = [f"damaged blob {digest}" for digest in findings.damaged]
    lines += [f"damaged reference {name}" for name in findings.references]
    for name, lacks in findings.incomplete.items():
        lines += [f"incomplete image {name}: {digest} is damaged or missing" for digest in lacks]
    if findings.records:
        lines.append(f"{findings.records} damaged records, which count as absent")
    lines.append(f"{findings.blobs} blobs verified, {len(findings.damaged)} damaged")
    return lines
