"""``pumice slice draft``: draft the slices of packages from their files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import output, progress_modes, results
from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import shared_options
from pumice.cli.recipes import slice_releases
from pumice.errors import UsageError
from pumice.terminal import format_count

if TYPE_CHECKING:
    import argparse

    from pumice.progress import Progress
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
    action.add_argument(
        "--update",
        action="store_true",
        help="update the files in DIR, and keep what was changed by hand since they were drafted",
    )
    slice_releases.add_release_options(action)
    slice_releases.add_package_options(action)
    shared_options.add_quiet_option(action)
    results.add_format_options(action, "slice draft", example="Package")


def run(options: argparse.Namespace) -> int:
    """Draft the definitions, and print or write them."""
    if options.update and options.output is None:
        raise UsageError("--update needs --output", hint="pass the directory with the definitions")
    from pumice.assembly import draft_files
    from pumice.assembly.slice_draft import draft_slices
    from pumice.image.output import check_directory
    from pumice.slices.draft.text import format_draft

    progress = progress_modes.make_progress(options.progress)
    if options.output is not None:
        check_directory(options.output / draft_files.RECORDS, with_parents=True)
    with slice_releases.open_home() as home:
        release = slice_releases.load(options, home)
        drafts = draft_slices(
            release,
            options.packages,
            slice_releases.cut_settings(options),
            home,
            environ=os.environ,
            progress=progress,
        )
    texts = {draft.definition.name: format_draft(draft) for draft in drafts}
    if options.output is not None:
        texts = _write_files(options, texts, progress)
    shown = [
        _describe(draft, texts[draft.definition.name]) for draft in drafts if draft.definition.name in texts
    ]
    text = "" if options.output is not None else "---\n".join(texts.values())
    results.write_result(shown, options.format, lambda: output.printable(text))
    return 0


def _write_files(options: argparse.Namespace, drafts: dict[str, str], progress: Progress) -> dict[str, str]:
    """Write or update the files, say what changed, and return the texts that were written."""
    from pumice.assembly import draft_files

    texts = drafts
    if options.update:
        updated = draft_files.update_definitions(options.output, drafts, options.packages)
        for change in updated.changes:
            progress.note(change)
        for question in updated.open_questions:
            progress.warn(question)
        texts = updated.texts
    else:
        draft_files.write_definitions(options.output, drafts)
    progress.note(f"wrote {format_count(len(texts), 'definition')} into {options.output}")
    return texts


def _describe(draft: DraftedPackage, text: str) -> SliceDraft:
    return SliceDraft(
        package=draft.definition.name,
        definition=text,
        left_out=tuple(LeftOutPath(path=item.path, reason=item.reason) for item in draft.left_out),
        notes=draft.notes,
    )
