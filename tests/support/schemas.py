"""Documents held against published JSON schemas (see ``tests/data/schemas``), large ones quickly."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jsonschema_rs

_OURS = Path(__file__).parent.parent / "data" / "schemas"
_HOST = "http://cyclonedx.org/schema"

Kind = Literal["spdx", "cyclonedx", "provenance"]


def complaints(kind: Kind, document: bytes) -> list[str]:
    """Return what a schema finds wrong with a document, with the place of each fault."""
    found = _validator(kind).iter_errors(json.loads(document))
    return [f"/{'/'.join(map(str, one.instance_path))}: {one.message[:300]}" for one in found]


@cache
def _validator(kind: Kind) -> jsonschema_rs.Draft7Validator:
    if kind == "cyclonedx":
        return jsonschema_rs.Draft7Validator(
            _read(_theirs() / "bom-1.6.SNAPSHOT.schema.json"), registry=_registry(), validate_formats=True
        )
    name = {"spdx": "spdx-2.3.schema.json", "provenance": "provenance-v1.schema.json"}[kind]
    return jsonschema_rs.Draft7Validator(_read(_OURS / name), validate_formats=True)


def _registry() -> jsonschema_rs.Registry:
    """Return what the schema of CycloneDX refers to: SPDX's licenses and JSON signatures."""
    names = ("spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json")
    return jsonschema_rs.Registry([(f"{_HOST}/{name}", _read(_theirs() / name)) for name in names])


def _theirs() -> Path:
    import cyclonedx.schema

    return Path(cyclonedx.schema.__file__).parent / "_res"


def _read(path: Path) -> Any:
    return json.loads(path.read_bytes())
