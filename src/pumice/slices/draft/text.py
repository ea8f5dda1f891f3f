"""Writes a draft as the text of a definition, with comments for the person who reviews it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.slices.draft.grouping import COPYRIGHT, rank
from pumice.slices.yaml_text import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.slices.draft.drafting import DraftedPackage
    from pumice.slices.model import PathRule, Slice

_EXAMPLES = 1


def format_draft(draft: DraftedPackage) -> str:
    """Return the text of a drafted definition in format v3."""
    definition = draft.definition
    lines = [*_comments(draft), f"package: {quote(definition.name)}", ""]
    copyright_name = f"{definition.name}_{COPYRIGHT}"
    if COPYRIGHT in definition.slices and len(definition.slices) > 1:
        lines += ["essential:", f"  {quote(copyright_name)}:", ""]
    lines.append("slices:")
    for name in sorted(definition.slices, key=lambda name: (rank(name), name)):
        lines += [*format_slice(definition.slices[name], copyright_name), ""]
    return "\n".join(lines).rstrip() + "\n"


def _comments(draft: DraftedPackage) -> Iterator[str]:
    """Yield what is left out, by reason, and the notes."""
    reasons: dict[str, list[str]] = {}
    for item in draft.left_out:
        reasons.setdefault(item.reason, []).append(item.path)
    for reason in sorted(reasons):
        paths = reasons[reason]
        rest = f" and {len(paths) - _EXAMPLES} more" if len(paths) > _EXAMPLES else ""
        yield f"# left out: {', '.join(paths[:_EXAMPLES])}{rest}: {reason}"
    for note in draft.notes:
        yield f"# note: {note}"


def format_slice(item: Slice, copyright_name: str) -> Iterator[str]:
    """Yield the lines of a slice; all slices require ``copyright_name`` already."""
    yield f"  {quote(item.name)}:"
    if item.hint:
        yield f"    hint: {item.hint}"  # one of ours, which needs no quotation marks
    needed = [essential.name for essential in item.essential if essential.name != copyright_name]
    if needed:
        yield "    essential:"
        yield from (f"      {quote(name)}:" for name in needed)
    if item.contents:
        yield "    contents:"
        yield from (_content_line(rule) for rule in item.contents)


def _content_line(rule: PathRule) -> str:
    return f"      {quote(rule.path)}:"
