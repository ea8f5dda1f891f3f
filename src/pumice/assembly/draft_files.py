"""The files of drafted definitions, and the drafts that they were made from, in ``.drafts``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.errors import FormatError, UsageError
from pumice.os_errors import IMAGE, read_user_file, translate_os_errors
from pumice.slices.draft.redraft import merge_drafts

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

RECORDS = ".drafts"
"""The directory of the last drafts. Their names do not end in .yaml, so no release reads them."""
_MAX_FILE = 1 << 20


class UpdatedFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Definitions by package, what changed in those that existed, and what a person has to decide."""

    texts: dict[str, str]
    changes: tuple[str, ...]
    open_questions: tuple[str, ...]


def write_definitions(directory: Path, drafts: Mapping[str, str]) -> None:
    """Write each draft into its file, and no file if one of them is there; raises UsageError, ImageError."""
    paths = [directory / f"{name}.yaml" for name in drafts]
    existing = sorted(str(path) for path in paths if path.exists())
    if existing:
        raise UsageError(
            f"{existing[0]} exists", hint="pass --update to update it, or write into another directory"
        )
    _write(directory, drafts, drafts)


def update_definitions(directory: Path, drafts: Mapping[str, str], named: Collection[str]) -> UpdatedFiles:
    """Write new drafts into their files, and keep what was changed by hand in those that exist.

    A file whose draft is not known stays as it is; raises UsageError if its package is one of ``named``, or
    if a file cannot be read, FormatError and SliceError if one is not a definition, and ImageError if one
    cannot be written.
    """
    texts: dict[str, str] = {}
    changes: list[str] = []
    questions: list[str] = []
    for name, draft in drafts.items():
        path, record = directory / f"{name}.yaml", directory / RECORDS / f"{name}.draft"
        if not path.exists():
            texts[name] = draft
            changes.append(f"{path}: new")
        elif record.exists():
            merged = merge_drafts(name, base=_read(record), current=_read(path), new=draft, file=str(path))
            texts[name] = merged.text
            changes += [f"{path}: {change}" for change in merged.changes]
            questions += [f"{path}: {question}" for question in merged.open_questions]
        elif name in named:
            raise UsageError(
                f"cannot update {path}: there is no {record}, the draft that it was made from",
                hint="draft into another directory, and compare",
            )
        else:
            questions.append(f"{path}: not updated, because the draft that it was made from is not known")
    _write(directory, texts, {name: drafts[name] for name in texts})
    return UpdatedFiles(texts=texts, changes=tuple(changes), open_questions=tuple(questions))


def _read(path: Path) -> str:
    data = read_user_file(path, "definition", _MAX_FILE)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise FormatError(
            "the definition is not UTF-8", where=str(path)[:200], hint="save the file as UTF-8"
        ) from None


def _write(directory: Path, texts: Mapping[str, str], drafts: Mapping[str, str]) -> None:
    with translate_os_errors(str(directory), IMAGE):
        (directory / RECORDS).mkdir(0o755, parents=True, exist_ok=True)
    for name, text in texts.items():
        files.replace(directory / f"{name}.yaml", text.encode())
        files.replace(directory / RECORDS / f"{name}.draft", drafts[name].encode())
