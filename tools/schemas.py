"""Renew the JSON Schemas of what commands print with ``--json``, in ``docs/reference/schemas``.

Usage: python tools/schemas.py [--allow-removal]

Programs rely on every field, so a field that would disappear is an error, unless --allow-removal is passed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pumice.cli.display.results import RESULTS, result_schema

DIRECTORY = Path(__file__).resolve().parent.parent / "docs" / "reference" / "schemas"


def schema_path(command: str) -> Path:
    """Return the file with the schema of a command's output."""
    return DIRECTORY / f"{command.replace(' ', '-')}.json"


def format_schema(command: str) -> str:
    """Return the content that the file should have."""
    return json.dumps(result_schema(command), indent=2) + "\n"


def removed_fields(old: Any, new: Any, path: str = "") -> list[str]:
    """Return the fields of ``old`` that ``new`` lacks, as paths."""
    if not isinstance(old, dict):
        return []
    missing = []
    for name, value in old.items():
        there = new.get(name) if isinstance(new, dict) else None
        if path.endswith("properties/") and there is None:
            missing.append(f"{path}{name}")
        elif there is not None or path == "":
            missing += removed_fields(value, there or {}, f"{path}{name}/")
    return missing


def update_schemas(*, allow_removal: bool) -> int:
    """Write the schemas that have changed; return the exit code."""
    DIRECTORY.mkdir(exist_ok=True)
    for command in RESULTS:
        path, text = schema_path(command), format_schema(command)
        old = json.loads(path.read_text()) if path.exists() else {}
        missing = removed_fields(old, json.loads(text))
        if missing and not allow_removal:
            print(f"{path.name}: fields would disappear: {', '.join(missing)}", file=sys.stderr)
            return 1
        path.write_text(text)
    for path in set(DIRECTORY.glob("*.json")) - {schema_path(command) for command in RESULTS}:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(update_schemas(allow_removal="--allow-removal" in sys.argv[1:]))
