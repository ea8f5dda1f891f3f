"""What a file of a package is by its path: the slice that it belongs to, or why it is left out."""

from __future__ import annotations

import functools
import re
from importlib import resources

import msgspec

TRIPLET = r"[a-z0-9_]+-linux-[a-z0-9]+"
"""The directory of an architecture, such as ``x86_64-linux-gnu``."""

DEFAULT_SLICE = "data"
"""The slice of a file that no rule names."""


class PathRule(msgspec.Struct, frozen=True):
    """A row of the table: which slice a path belongs to (empty: none), and why it is left out."""

    slice: str
    reason: str = ""


_DEFAULT = PathRule(DEFAULT_SLICE)


def find_rule(path: str) -> PathRule:
    """Return the rule for a path of a merged ``/usr``, without a slash in front."""
    for pattern, rule in _rules():
        if pattern.fullmatch(path):
            return rule
    return _DEFAULT


@functools.lru_cache
def _rules() -> tuple[tuple[re.Pattern[str], PathRule], ...]:
    text = resources.files("pumice.slices.draft").joinpath("data/path_rules.tsv").read_text(encoding="utf-8")
    rules = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            pattern, name, reason = line.split("\t")
            pattern = pattern.replace("{lib}", "usr/lib(?:/{triplet})?").replace("{triplet}", TRIPLET)
            rules.append((re.compile(pattern), PathRule("" if name == "-" else name, reason)))
    return tuple(rules)
