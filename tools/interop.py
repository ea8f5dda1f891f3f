"""Update the tables of ``docs/reference/interop.md`` by running the programs. Tests fail if they differ.

Usage: python tools/interop.py
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "interop.md"
BLOCK = re.compile(r"(?<=<!-- matrix -->\n).*?(?=^<!-- end of matrix -->$)", re.MULTILINE | re.DOTALL)


def replace_table(table: str) -> str:
    """Return the page with ``table`` in it."""
    return BLOCK.sub(lambda _: f"\n{table}\n", PAGE.read_text(), count=1)


def update_page() -> None:
    sys.path.insert(0, str(ROOT))
    from tests.support import matrix

    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(replace_table(matrix.format_table(matrix.run(Path(folder)))))


if __name__ == "__main__":
    update_page()
