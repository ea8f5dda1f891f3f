"""Recipes for tests: written to a folder, and generated from the table of keys."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from pumice.recipe import grammar
from pumice.recipe.keys import RECIPE
from pumice.recipe.kinds import (
    Choice,
    Duration,
    Flag,
    Integer,
    Kind,
    ListOf,
    MapOf,
    Mode,
    Table,
    Text,
    TextOrTable,
)
from pumice.recipe.load import load_recipe
from pumice.recipe.model import Recipe

HEAD = 'name: example.com/hello\nversion: "1.0"\nfrom: {debian: bookworm}\n'

_SAMPLES = {
    grammar.EXCLUDED: ["/usr/lib/gconv/", "*.a", "!/usr/lib/gconv/x.so", "[a-z]/**"],
    grammar.SIGNAL: ["SIGTERM", "SIGQUIT", "SIGRTMIN+3"],
    grammar.ARCHITECTURE: ["amd64", "linux/arm64", "armhf", "riscv64"],
}


def write(folder: Path, text: str, name: str = "recipe.yaml") -> Path:
    """Write a recipe file and return its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, text: str) -> Recipe:
    """Return the recipe of ``text`` after the three keys that every recipe needs."""
    return load_recipe(write(folder, HEAD + text))


def values(kind: Kind = RECIPE) -> st.SearchStrategy[Any]:
    """Return a strategy for JSON values of a kind; nearly all of them can be loaded."""
    if isinstance(kind, Table):
        required = {key.name: values(key.kind) for key in kind.keys if key.required}
        optional = {
            key.name: values(key.kind) for key in kind.keys if not key.required and key.name != "extend"
        }
        return st.fixed_dictionaries(required, optional=optional).map(_make_consistent)
    if isinstance(kind, ListOf):
        identity = (lambda item: item.get("name")) if kind.identity == "name" else json.dumps
        unique = identity if kind.identity else None
        return st.lists(values(kind.item), min_size=kind.min_length, max_size=3, unique_by=unique)
    if isinstance(kind, MapOf):
        return st.dictionaries(values(kind.key), values(kind.value), max_size=3)
    if isinstance(kind, Text):
        if kind.grammar is None:
            return st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=12)
        if kind.grammar in _SAMPLES:
            return st.sampled_from(_SAMPLES[kind.grammar])
        return st.from_regex(re.compile(kind.grammar.pattern, re.ASCII), fullmatch=True).filter(
            lambda text: len(text) < 100
        )
    if isinstance(kind, TextOrTable):
        return values(kind.text) | values(kind.table)
    return _single_words(kind)


def _single_words(kind: Flag | Integer | Mode | Duration | Choice) -> st.SearchStrategy[Any]:
    if isinstance(kind, Flag):
        return st.booleans()
    if isinstance(kind, Integer):
        return st.integers(kind.low, kind.high)
    if isinstance(kind, Mode):
        return st.integers(0, 0o7777).map(lambda mode: f"{mode:04o}")
    if isinstance(kind, Duration):
        return st.builds(
            lambda n, unit: f"{n}{unit}", st.integers(0, 99), st.sampled_from(["", "s", "m", "h"])
        )
    return st.sampled_from(kind.values)


def _make_consistent(value: dict[str, Any]) -> dict[str, Any]:
    """Keep only one source in a rule of ``files``, and make an archive either trusted or signed."""
    if "trusted" in value:
        return {name: item for name, item in value.items() if name != "key"}
    if set(value) == {"path"}:
        return {**value, "mode": "0644"}
    if "to" not in value:
        return value
    chosen_source = next((name for name in ("from", "text", "link") if name in value), None)
    dropped = {"from", "text", "link", "directory", "ignore", "mode"} - {chosen_source}
    remaining = {name: item for name, item in value.items() if name not in dropped}
    return remaining if chosen_source else {**remaining, "directory": True}


def as_yaml(value: object) -> str:
    """Return ``value`` as JSON that is also YAML: characters that YAML does not allow are escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return re.sub("[\x7f-\x9f\ufffe\uffff]", lambda found: f"\\u{ord(found[0]):04x}", text)
