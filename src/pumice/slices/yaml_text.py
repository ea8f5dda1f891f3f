"""Writes definitions of slices as YAML, as ``slice info`` prints them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pumice.slices.model import Essential, PackageSlices, PathRule, Slice

_PLAIN = re.compile(r"[A-Za-z0-9_./-][A-Za-z0-9_./+*?@=~%-]*")
_AMBIGUOUS = re.compile(
    r"[-+.]?[0-9][0-9_.eExXoObB+:-]*|true|false|yes|no|on|off|y|n|null|~|[-.]+", re.IGNORECASE
)


def format_definition(definition: PackageSlices, slices: Mapping[str, Slice]) -> str:
    """Return the definition of a package with some of its slices; the result can be read again."""
    lines = [f"package: {quote(definition.name)}"]
    if definition.archive:
        lines.append(f"archive: {quote(definition.archive)}")
    if slices:
        lines.append("slices:")
    for name in sorted(slices):
        body = list(_slice_lines(slices[name]))
        lines.append(f"    {quote(name)}:" + ("" if body else " {}"))
        lines += body
    return "\n".join(lines) + "\n"


def _slice_lines(item: Slice) -> Iterator[str]:
    if item.hint:
        yield f"        hint: {quote(item.hint)}"
    if item.essential:
        yield "        essential:"
        for essential in sorted(item.essential, key=lambda each: each.name):
            yield f"            {quote(essential.name)}: {_essential_options(essential)}"
    if item.contents:
        yield "        contents:"
        for rule in sorted(item.contents, key=lambda each: each.path):
            yield f"            {quote(rule.path)}: {{{', '.join(_options(rule))}}}"
    if item.mutate:
        yield from _script_lines(item.mutate)


def _essential_options(essential: Essential) -> str:
    return f"{{arch: {_architectures(essential.architectures)}}}" if essential.architectures else "{}"


def _options(rule: PathRule) -> Iterator[str]:
    content = {"dir": "make: true", "generate": f"generate: {quote(rule.generate)}"}.get(rule.kind, "")
    if rule.kind in ("text", "symlink") or (rule.kind == "copy" and rule.info):
        content = f"{rule.kind}: {quote(rule.info)}"
    options: tuple[tuple[object, str], ...] = (
        (rule.mode, f"mode: 0{rule.mode:o}"),
        (content, content),
        (rule.mutable, "mutable: true"),
        (rule.until_mutate, "until: mutate"),
        (rule.architectures, f"arch: {_architectures(rule.architectures or ('',))}"),
        (rule.prefer, f"prefer: {quote(rule.prefer)}"),
    )
    return (text for is_set, text in options if is_set)


def _architectures(names: tuple[str, ...]) -> str:
    return quote(names[0]) if len(names) == 1 else f"[{', '.join(map(quote, names))}]"


def _script_lines(script: str) -> Iterator[str]:
    if script[:1].isspace() or "\r" in script or not script.strip():
        yield f"        mutate: {json.dumps(script)}"
        return
    ending = "" if script.endswith("\n") and not script.endswith("\n\n") else "-"
    if script.endswith("\n\n"):
        ending = "+"
    yield f"        mutate: |{ending}"
    for line in script.removesuffix("\n").split("\n"):
        yield f"            {line}".rstrip() if not line.strip() else f"            {line}"


def quote(text: str) -> str:
    """Return a text as a scalar of YAML, in quotation marks only where it needs them."""
    if _PLAIN.fullmatch(text) and not _AMBIGUOUS.fullmatch(text):
        return text
    return json.dumps(text, ensure_ascii=False)
