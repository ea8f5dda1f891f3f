"""The text of a smaller recipe: it extends another one by what the image goes without."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.slimming.plan import SlimPlan


def format_recipe(base: str, plan: SlimPlan, comment: str) -> str:
    """Return a recipe that extends the one at ``base`` and goes without what ``plan`` lists.

    ``comment`` says in one line how it was made.
    """
    return "".join(f"{line}\n" for line in _list_lines(base, plan, comment))


def _list_lines(base: str, plan: SlimPlan, comment: str) -> Iterator[str]:
    yield f"# {comment}"
    yield f"extend: {_quote(base)}"
    if plan.packages:
        yield "without:"
        yield from (f"  - {_quote(item.package)}  # {_format_size(item.size)}" for item in plan.packages)
    if not plan.patterns:
        return
    yield "exclude:"
    by_package: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    for item in plan.patterns:
        by_package.setdefault(item.package, []).append(item.pattern)
        sizes[item.package] = sizes.get(item.package, 0) + item.size
    for package, patterns in by_package.items():
        yield f"  - package: {_quote(package)}  # {_format_size(sizes[package])}"
        yield "    paths:"
        yield from (f"      - {_quote(pattern)}" for pattern in sorted(patterns))


def _quote(text: str) -> str:
    """Return a text as a scalar of YAML; JSON strings are scalars as well."""
    is_plain = text.isascii() and all(character.isalnum() or character in "/._+-" for character in text)
    return text if (is_plain and text[:1].isalpha()) or (text[:1] == "/" and is_plain) else json.dumps(text)


def _format_size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"
