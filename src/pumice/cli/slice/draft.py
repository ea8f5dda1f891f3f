"""``pumice slice draft``: draft the slices of packages from their files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.cli import arguments as command_line
from pumice.cli import output, results, shared_options
from pumice.cli.slice import releases

if TYPE_CHECKING:
    import argparse

    from pumice.slices.draft.drafting import DraftedPackage

_EPILOG = """The result is for a person to review: definitions of the packages, and of those they require that
the release lacks. Comments say what is left out and why. With --output, each definition is a file
in the directory, which is then an overlay for recipes and commands."""


class LeftOutPath(msgspec.Struct, frozen=True, kw_only=True):
    """A path of a package that no slice has, and why."""

    path: str
    reason: str


class SliceDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A drafted definition: the package, its text in YAML, what is left out, and notes for the reviewer."""

    package: str
    definition: str
    left_out: tuple[LeftOutPath, ...]
    notes: tuple[str, ...]


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice slice``."""
    action = command_line.add_action(
        parser,
        "draft",
        run,
        "draft the slices of packages from their files",
        progress=True,
        epilog=_EPILOG,
        examples=("pumice slice draft nginx", "pumice slice draft nginx --release trixie -o slices"),
    )
    action.add_argument("packages", metavar="PKG", nargs="+", help="package to draft slices of")
    action.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=Path,
        help="directory to write one file for each package into (default: print them)",
    )
    releases.add_release_options(action)
    releases.add_package_options(action)
    shared_options.add_quiet_option(action)
    results.add_format_options(action, "slice draft", example="Package")


def run(options: argparse.Namespace) -> int:
    """Draft the definitions, and print or write them."""
    from pumice.assembly.slice_draft import draft_slices
    from pumice.slices.draft.text import format_draft

    progress = output.make_progress(options.progress)
    with releases.open_home() as home:
        release = releases.load(options, home)
        drafts = draft_slices(
            release,
            options.packages,
            releases.cut_settings(options),
            home,
            environ=os.environ,
            progress=progress,
        )
    texts = {draft.definition.name: format_draft(draft) for draft in drafts}
    if options.output is not None:
        _write_files(options.output, texts)
        count = "1 definition" if len(texts) == 1 else f"{len(texts)} definitions"
        progress.note(f"wrote {count} into {options.output}")
    shown = [_describe(draft, texts[draft.definition.name]) for draft in drafts]
    text = "" if options.output is not None else "---\n".join(texts.values())
    results.write_result(shown, options.format, lambda: output.printable(text))
    return 0


def _write_files(directory: Path, texts: dict[str, str]) -> None:
    """Write each definition into its file, and no file if one of them is there."""
    from pumice.errors import UsageError
    from pumice.os_errors import IMAGE, translate_os_errors

    paths = {directory / f"{name}.yaml": text for name, text in texts.items()}
    existing = sorted(str(path) for path in paths if path.exists())
    if existing:
        raise UsageError(f"{existing[0]} exists", hint="move it away, or write into another directory")
    with translate_os_errors(str(directory), IMAGE):
        directory.mkdir(0o755, parents=True, exist_ok=True)
        for path, text in paths.items():
            path.write_text(text, encoding="utf-8")


def _describe(draft: DraftedPackage, text: str) -> SliceDraft:
    return SliceDraft(
        package=draft.definition.name,
        definition=text,
        left_out=tuple(LeftOutPath(path=item.path, reason=item.reason) for item in draft.left_out),
        notes=draft.notes,
    )
