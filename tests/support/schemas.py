"""Validation by published JSON schemas (see ``tests/data/schemas``), fast enough for large documents."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jsonschema_rs

_OURS = Path(__file__).parent.parent / "data" / "schemas"
_HOST = "http://cyclonedx.org/schema"
_RUNTIME = "http://schemas.example/runtime-spec"

Kind = Literal["spdx", "cyclonedx", "provenance", "runtime"]


def find_violations(kind: Kind, document: bytes) -> list[str]:
    """Return the violations of a schema in a document, each with its JSON pointer."""
    errors = _validator(kind).iter_errors(json.loads(document))
    return [f"/{'/'.join(map(str, error.instance_path))}: {error.message[:300]}" for error in errors]


@cache
def _validator(kind: Kind) -> jsonschema_rs.Draft4Validator | jsonschema_rs.Draft7Validator:
    if kind == "runtime":
        files = list((_OURS / "runtime-spec").glob("*.json"))
        registry = jsonschema_rs.Registry(
            [(f"{_RUNTIME}/{file.name}", _read_runtime_schema(file)) for file in files], draft=4
        )
        return jsonschema_rs.Draft4Validator({"$ref": f"{_RUNTIME}/config-schema.json"}, registry=registry)
    if kind == "cyclonedx":
        return jsonschema_rs.Draft7Validator(
            _read_json(_library_folder() / "bom-1.6.SNAPSHOT.schema.json"),
            registry=_registry(),
            validate_formats=True,
        )
    name = {"spdx": "spdx-2.3.schema.json", "provenance": "provenance-v1.schema.json"}[kind]
    return jsonschema_rs.Draft7Validator(_read_json(_OURS / name), validate_formats=True)


def _read_runtime_schema(path: Path) -> Any:
    """Return a schema of runtime-spec 1.3.0, in which one reference lacks a slash."""
    return json.loads(path.read_bytes().replace(b'"#definitions/', b'"#/definitions/'))


def _registry() -> jsonschema_rs.Registry:
    """Return the schemas that the one of CycloneDX refers to: SPDX licenses and JSON signatures."""
    names = ("spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json")
    return jsonschema_rs.Registry(
        [(f"{_HOST}/{name}", _read_json(_library_folder() / name)) for name in names]
    )


def _library_folder() -> Path:
    import cyclonedx.schema

    return Path(cyclonedx.schema.__file__).parent / "_res"


def _read_json(path: Path) -> Any:
    return json.loads(path.read_bytes())
