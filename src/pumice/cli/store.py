"""``pumice store``: verify or locate the local store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import output, progress_modes, results
from pumice.cli.parsing import arguments as command_line
from pumice.errors import StoreError
from pumice.terminal import format_count

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.store.verification import Findings


class StoreVerification(msgspec.Struct, frozen=True, kw_only=True):
    """What verifying the store found: digests of damaged blobs, and names of damaged references.

    ``blobs`` is the number of blobs that were read, ``records`` the number of damaged records, which are
    harmless. ``incomplete`` has the names of images with the digests of the blobs that they lack.
    """

    blobs: int
    damaged: tuple[str, ...]
    references: tuple[str, ...]
    incomplete: dict[str, tuple[str, ...]]
    records: int
    sound: bool


class StorePath(msgspec.Struct, frozen=True):
    """The directory of the store, and whether it exists already."""

    path: str
    exists: bool


def parser() -> command_line.Parser:
    """Return the parser of ``pumice store``."""
    parser = command_line.make_action_parser("store", "Verify or locate the local store.")
    verify = command_line.add_action(
        parser,
        "verify",
        _verify,
        "hash all content and report damage",
        examples=("pumice store verify", "pumice store verify --repair"),
        progress=True,
    )
    verify.add_argument(
        "--repair",
        action="store_true",
        help="remove damaged content; the next build makes or fetches it again",
    )
    results.add_format_options(verify, "store verify", default="text", example="Damaged")
    path = command_line.add_action(
        parser, "path", _path, "print the directory of the store", examples=("pumice store path",)
    )
    results.add_format_options(path, "store path", default="text", example="Path")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return command_line.run_action(parser(), arguments)


def _path(options: argparse.Namespace) -> int:
    from pumice.store.home import locate

    path = locate(os.environ)
    result = StorePath(str(path), path.exists())
    results.write_result(result, options.format, lambda: [output.printable_line(str(path))])
    return 0


def _verify(options: argparse.Namespace) -> int:
    from pumice.store.home import Home, locate
    from pumice.store.verification import verify

    progress = progress_modes.make_progress(options.progress)
    with Home(locate(os.environ), progress=progress) as home:
        findings = verify(home, progress, repair=options.repair)
    result = StoreVerification(
        blobs=findings.blobs,
        damaged=findings.damaged,
        references=findings.references,
        incomplete=findings.incomplete,
        records=findings.records,
        sound=findings.is_sound(),
    )
    results.write_result(result, options.format, lambda: map(output.printable, _format_findings(findings)))
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
        records = format_count(findings.records, "damaged record")
        lines.append(f"{records} (harmless: they count as missing)")
    lines.append(f"{format_count(findings.blobs, 'blob')} verified, {len(findings.damaged)} damaged")
    return lines
