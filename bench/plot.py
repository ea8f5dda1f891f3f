"""Draw results as an SVG with one bar per row, without a plotting library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

_ROW, _LEFT, _WIDTH = 22, 430, 860


def plot(rows: Sequence[Mapping[str, object]]) -> str:
    """Return seconds as horizontal bars; those of Pumice are dark."""
    longest = max(float(str(row["seconds"])) for row in rows)
    height = _ROW * len(rows) + 20
    size = f'width="{_WIDTH}" height="{height}" font-family="sans-serif" font-size="12"'
    elements = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>']
    for number, row in enumerate(rows):
        top = 10 + number * _ROW
        seconds = float(str(row["seconds"]))
        length = max(1.0, (_WIDTH - _LEFT - 70) * seconds / longest)
        colour = "#3b4a54" if row["tool"] == "pumice" else "#b9c4cb"
        label = escape(f"{row['work']} ({row['tool']})")
        elements.append(f'<text x="{_LEFT - 8}" y="{top + 13}" text-anchor="end">{label}</text>')
        elements.append(f'<rect x="{_LEFT}" y="{top}" width="{length:.1f}" height="16" fill="{colour}"/>')
        elements.append(f'<text x="{_LEFT + length + 6:.1f}" y="{top + 13}">{seconds:.2f} s</text>')
    return "\n".join([*elements, "</svg>"]) + "\n"
