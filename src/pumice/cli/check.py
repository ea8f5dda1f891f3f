"""``pumice check``: check whether the programs of an image can start, without running anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from pumice.cli.display import output, progress_modes, results
from pumice.cli.image_access import reading, registries
from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.cli.parsing.arguments import Parser
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.store.home import Home

_EPILOG = f"""Checks what the image's command and health check reach (loaders, libraries, interpreters and
basic tools of scripts), and the locale, users, volumes, ports and links. The exit code is 1 if
--strict is given and there is a warning.

{reading.REFERENCES}"""


class ImageFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A finding about an image for one platform.

    ``check`` is the name of the check, ``path`` the absolute path of a file of the image or null, ``key`` the
    key of a recipe that would be changed, or null.
    """

    severity: Literal["warning", "note"]
    check: str
    message: str
    hint: str | None
    path: str | None
    key: str | None
    platform: str


def parser() -> Parser:
    """Return the parser of the command."""
    verb_parser = command_line.make_parser(
        "check",
        "Check whether the programs of an image can start. Nothing is executed.",
        epilog=_EPILOG,
        examples=("pumice check example.com/hello:1.0", "pumice check oci:hello --strict"),
    )
    verb_parser.add_argument("reference", metavar="REF", help="image to check")
    verb_parser.add_argument("--strict", action="store_true", help="exit with 1 if there is a warning")
    results.add_format_options(verb_parser, "check", example="Message")
    reading.platform_option(verb_parser)
    registries.options(verb_parser)
    return verb_parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)

    progress = progress_modes.make_progress(options.progress)
    with reading.open_platform(options, progress) as (image, home):
        findings = list(_check(image, home, progress))
    results.write_result(findings, options.format, lambda: _format_text(findings))
    has_warning = any(finding.severity == "warning" for finding in findings)
    return 1 if options.strict and has_warning else 0


def _check(image: Image, home: Home, progress: Progress) -> Iterator[ImageFinding]:
    from pumice.assembly.image_checks import check_finished_image
    from pumice.formats import platforms

    ((_, platform),) = image.members()
    for finding in check_finished_image(image, home, progress):
        yield ImageFinding(
            severity="note" if finding.is_note else "warning",
            check=finding.check,
            message=finding.message,
            hint=finding.hint or None,
            path=f"/{finding.path.lstrip('/')}" if finding.path else None,
            key=finding.key or None,
            platform=platforms.format_platform(platform),
        )


def _format_text(findings: Sequence[ImageFinding]) -> Iterator[str]:
    for finding in findings:
        yield output.printable_line(f"{finding.severity}: {finding.message} [{finding.check}]")
        if finding.hint:
            yield f"  hint: {output.printable_line(finding.hint)}"
    if not findings:
        yield "no problems found"
