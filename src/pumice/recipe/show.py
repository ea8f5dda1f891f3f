"""The effective recipe as text again, each value with the place it comes from."""

from __future__ import annotations

import re
from typing import Any

from pumice.formats.yaml import Mapping, Node, Scalar, Sequence, format_location
from pumice.recipe.keys import RECIPE
from pumice.recipe.kinds import Flag, Integer, Kind, ListOf, Mode, Table, Text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.recipe.load import Effective

# What no YAML reader takes for anything but a text, and needs no quotes anywhere.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./@+-]*( [A-Za-z0-9_./@+-]+)*")
_WORDS = frozenset("true false yes no on off y n null".split())  # noqa: SIM905
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\xad\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def as_yaml(effective: Effective) -> str:
    """Return the effective recipe as YAML that loads as the same recipe.

    Each value has its ``file:line:col`` behind it. Paths under ``files`` stay as written: relative
    to the file that the place names.
    """
    return "\n".join([*_map(effective.root, RECIPE, ""), ""])


def as_json(effective: Effective) -> dict[str, Any]:
    """Return ``recipe``, the effective recipe, and ``sources``: JSON pointer to ``file:line:col``."""
    sources: dict[str, str] = {}
    return {"recipe": _plain(effective.root, RECIPE, "", sources), "sources": sources}


def _kinds(kind: Kind) -> dict[str, Kind]:
    return {key.name: key.kind for key in kind.keys} if isinstance(kind, Table) else {}


def _map(node: Mapping, kind: Kind, indent: str) -> Iterator[str]:
    kinds = _kinds(kind)
    for key, value in node.items:
        yield from _value(value, kinds.get(key.text, Text()), f"{indent}{_quoted(key.text)}:", indent)


def _value(node: Node, kind: Kind, head: str, indent: str) -> Iterator[str]:
    if isinstance(node, Scalar):
        yield f"{head} {_scalar(node, kind)}  # {_comment(format_location(node))}"
    elif not node.items:
        yield f"{head} {'[]' if isinstance(node, Sequence) else '{}'}  # {_comment(format_location(node))}"
    elif isinstance(node, Mapping):
        yield head
        yield from _map(node, kind, indent + "  ")
    else:
        yield head
        item_kind = kind.item if isinstance(kind, ListOf) else Text()
        for item in node.items:
            if isinstance(item, Mapping) and item.items:
                first, *rest = _map(item, item_kind, indent + "    ")
                yield f"{indent}  - {first.lstrip()}"
                yield from rest
            else:
                yield from _value(item, item_kind, f"{indent}  -", indent + "  ")


def _scalar(node: Scalar, kind: Kind) -> str:
    if isinstance(kind, Flag | Integer):
        return node.text
    return _quoted(_mode(node) if isinstance(kind, Mode) else node.text)


def _mode(node: Scalar) -> str:
    return f"{int(node.text.removeprefix('0o'), 8):04o}"


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{_comment(escaped)}"'


def _comment(text: str) -> str:
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(node: Node, kind: Kind, pointer: str, sources: dict[str, str]) -> Any:
    if isinstance(node, Mapping):
        kinds = _kinds(kind)
        return {
            key.text: _plain(value, kinds.get(key.text, Text()), f"{pointer}/{_token(key.text)}", sources)
            for key, value in node.items
        }
    if isinstance(node, Sequence):
        item_kind = kind.item if isinstance(kind, ListOf) else Text()
        return [
            _plain(item, item_kind, f"{pointer}/{number}", sources) for number, item in enumerate(node.items)
        ]
    sources[pointer] = format_location(node)
    if isinstance(kind, Flag):
        return node.text == "true"
    if isinstance(kind, Integer):
        return int(node.text)
    return _mode(node) if isinstance(kind, Mode) else node.text


def _token(key: str) -> str:
    """Return a key as part of a JSON pointer (RFC 6901, section 3)."""
    return key.replace("~", "~0").replace("/", "~1")
