"""Update the table of isolators in ``docs/reference/isolators.md``; tests fail if it is outdated."""

from __future__ import annotations

import re
from pathlib import Path

from pumice.runtime.isolation.isolators import BACKENDS, ISOLATORS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "isolators.md"
_BLOCK = re.compile(r"(?<=<!-- isolators -->\n).*?(?=^<!-- end -->$)", re.MULTILINE | re.DOTALL)


def update_page() -> str:
    """Return the page with the current table."""
    return _BLOCK.sub(lambda _: format_table(), PAGE.read_text(), count=1)


def format_table() -> str:
    """Return the table of all isolators and backends, with the reasons below it."""
    lines = [f"| | option | {' | '.join(BACKENDS)} |\n", f"|---|---|{'---|' * len(BACKENDS)}\n"]
    reasons: dict[str, None] = {}
    for isolator in ISOLATORS:
        cells = []
        for backend in BACKENDS:
            effect = "yes"
            for name, table in (("ignored", isolator.ignored), ("modified", isolator.modified)):
                if backend in table:
                    effect = name
                    reasons[f"- `{isolator.option}` with `{backend}` is {name}: {table[backend]}\n"] = None
            cells.append(effect)
        options = ", ".join(f"`{option}`" for option in isolator.option.split(", "))
        lines.append(f"| {isolator.name} | {options} | {' | '.join(cells)} |\n")
    return f"{''.join(lines)}\n{''.join(reasons)}"
