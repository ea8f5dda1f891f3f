"""The JSON that commands print is documented by schemas, which are stable."""

from __future__ import annotations

import pytest

from pumice.cli.display.results import RESULTS
from tools import schemas


@pytest.mark.parametrize("command", RESULTS)
def test_the_schema_in_the_documentation_is_that_of_the_program(command: str) -> None:
    text = schemas.schema_path(command).read_text()
    assert text == schemas.format_schema(command), "run: python tools/schemas.py"


def test_there_are_no_other_schemas() -> None:
    paths = {schemas.schema_path(command) for command in RESULTS}
    assert set(schemas.DIRECTORY.iterdir()) == paths


def test_a_field_that_disappears_is_noticed() -> None:
    old = {"$defs": {"A": {"properties": {"a": {"type": "string"}, "b": {"type": "integer"}}}}}
    new = {"$defs": {"A": {"properties": {"a": {"type": "string"}, "c": {"type": "integer"}}}}}
    assert schemas.removed_fields(old, new) == ["$defs/A/properties/b"]
    assert schemas.removed_fields(new, new) == []


@pytest.mark.parametrize("command", RESULTS)
def test_the_page_of_a_command_links_its_schema(command: str) -> None:
    page = schemas.DIRECTORY.parent / f"{command.split(maxsplit=1)[0]}.md"
    assert f"(schemas/{schemas.schema_path(command).name})" in page.read_text()
