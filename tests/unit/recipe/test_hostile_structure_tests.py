"""Hostile files of container-structure-test: the reader gives tests, or errors with places."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pumice.errors import RecipeError
from pumice.recipe.image_test_files import read_tests
from pumice.recipe.image_tests import ImageTest

if TYPE_CHECKING:
    from pathlib import Path

VALID: dict[str, Any] = {
    "schemaVersion": "2.0.0",
    "globalEnvVars": [{"key": "A", "value": "b"}],
    "commandTests": [
        {
            "name": "version",
            "setup": [["touch", "/tmp/x"]],
            "teardown": [["rm", "/tmp/x"]],
            "command": "app",
            "args": ["--version"],
            "envVars": [{"key": "B", "value": "$A", "isRegex": False}],
            "exitCode": 0,
            "expectedOutput": ["^v[0-9]+$"],
            "excludedError": ["error"],
        }
    ],
    "fileExistenceTests": [
        {"name": "f", "path": "/etc/x", "shouldExist": True, "permissions": "-rw-r--r--", "uid": 0, "gid": 0},
        {"name": "g", "path": "/bin/x", "isExecutableBy": "any"},
    ],
    "fileContentTests": [{"name": "c", "path": "/etc/x", "expectedContents": ["^a"]}],
    "metadataTest": {
        "envVars": [{"key": "A", "value": "b.*", "isRegex": True}],
        "labels": [{"key": "a", "value": "b"}],
        "exposedPorts": ["8080"],
        "volumes": ["/data"],
        "entrypoint": ["/app"],
        "cmd": [],
        "workdir": "/",
        "user": "nobody",
    },
    "containerRunOptions": {"user": "root"},
}

NASTY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from(["", "(", "(?P<x>", "[" * 200, "a{99999999}", "/..", "~", "\x00", "\u202e", "1e999"]),
    st.lists(st.text(max_size=5), max_size=3),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)  # fmt: skip

FEW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(folder: Path, data: bytes) -> tuple[ImageTest, ...] | None:
    """Return the tests in ``data``, None if the reader refuses it as it should."""
    path = folder / "tests.yaml"
    path.write_bytes(data)
    try:
        tests = read_tests(str(path))
    except RecipeError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.message
            assert "\n" not in problem.message
            assert len(problem.message) < 1000
            assert str(problem.where or problem.message).startswith((str(path), "cannot read"))
        return None
    assert all(isinstance(test, ImageTest) for test in tests)
    return tests


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the places of all values in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, child in items for place in places(child, (*at, key)))]


PLACES = places(VALID)[1:]


def test_the_unchanged_file_is_read(tmp_path: Path) -> None:
    tests = read(tmp_path, json.dumps(VALID).encode())
    assert tests is not None
    assert len(tests) == 5


@FEW
@given(place=st.sampled_from(PLACES), value=NASTY)
def test_any_value_in_any_place(tmp_path: Path, place: tuple[Any, ...], value: object) -> None:
    document = json.loads(json.dumps(VALID))
    parent = document
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    read(tmp_path, json.dumps(document).encode("utf-8", "surrogatepass"))


@FEW
@given(position=st.integers(0, 2000), length=st.integers(0, 40), data=st.binary(max_size=20))
def test_damaged_files(tmp_path: Path, position: int, length: int, data: bytes) -> None:
    text = json.dumps(VALID).encode()
    start = position % len(text)
    read(tmp_path, text[:start] + data + text[start + length :])


@FEW
@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_after_the_version(tmp_path: Path, data: bytes) -> None:
    read(tmp_path, b'schemaVersion: "2.0.0"\n' + data)


@pytest.mark.parametrize(
    "text",
    [
        'schemaVersion: "2.0.0"\ncommandTests: &a [*a]\n',
        'schemaVersion: "2.0.0"\ncommandTests: ' + "[" * 5000 + "]" * 5000 + "\n",
        'schemaVersion: "2.0.0"\n' + "a" * 100_000 + ": 1\n",
        'schemaVersion: "2.0.0"\nschemaVersion: "2.0.0"\n',
        'schemaVersion: "2.0.0"\n--- \nother: document\n',
        'schemaVersion: !!python/object/apply:os.system ["false"]\n',
        'schemaVersion: "2.0.0"\nx: &x [1]\ny: &y [*x, *x, *x]\nz: &z [*y, *y, *y]\n',
        'schemaVersion: "1.0.0"\n',
        "schemaVersion: 2.0.0\nfileExistenceTests: 3\n",
    ],
    ids=("cycle", "deep", "long-key", "twice", "documents", "object", "aliases", "old", "number"),
)
def test_files_made_to_break_readers_are_refused(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text.encode()) is None


@pytest.mark.parametrize(
    "pattern", ["(" * 5000 + ")" * 5000, "a{4294967296}", "(?i)" * 50_000, "x" * 500_000, "(?<=a*)b", "\\"]
)
def test_patterns_made_to_break_the_compiler_are_refused(tmp_path: Path, pattern: str) -> None:
    document = {**VALID, "fileContentTests": [{"name": "c", "path": "/x", "expectedContents": [pattern]}]}
    assert read(tmp_path, json.dumps(document).encode()) is None
