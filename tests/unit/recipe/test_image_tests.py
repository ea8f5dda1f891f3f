"""The tests of a recipe and files of tests: what is read, and errors with their places."""

from __future__ import annotations

from pathlib import Path

import pytest

from pumice.errors import RecipeError
from pumice.recipe.image_test_files import read_tests
from pumice.recipe.image_tests import FileCheck, HttpCheck, OutputRule
from pumice.recipe.load import load_recipe
from tests.support.recipes import write

HEAD = 'name: example.com/x\nversion: "1"\nfrom: {debian: bookworm}\n'


def problems(path: Path | str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        read_tests(str(path))
    return [f"{problem.where}: {problem.message}" for problem in caught.value.problems]


def test_one_table_is_a_list_of_itself(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "tests: [{http: {path: /x, body: {contains: a b}}, file: {path: /y}}]\n")
    (test,) = load_recipe(path).tests
    assert test.http == (HttpCheck(path="/x", body=OutputRule(contains=("a b",))),)
    assert test.file == (FileCheck(path="/y"),)
    assert test.title() == "GET /x"


def test_setup_is_a_list_of_lists(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "tests: [{command: x, setup: [[a, b], [c]]}]\n")
    assert load_recipe(path).tests[0].setup == (("a", "b"), ("c",))


def test_an_extending_recipe_replaces_tests_with_the_same_name(tmp_path: Path) -> None:
    write(tmp_path, HEAD + "tests: [{name: a, command: x}, {name: b, command: x}]\n", "base.yaml")
    path = write(tmp_path, "extend: base.yaml\ntests: [{name: a, command: y}, {name: c, command: z}]\n")
    assert [(test.name, test.command) for test in load_recipe(path).tests] == [
        ("a", ("y",)),
        ("b", ("x",)),
        ("c", ("z",)),
    ]


WRONG = {
    "tests: [{}]": "1:9: the test checks nothing",
    "tests: [{name: x}]": "1:9: the test checks nothing",
    "tests: [{comand: x}]": "1:10: unknown key 'comand'",
    "tests: [{command: x, setup: [x]}]": "1:30: an item of 'setup' must be a list",
    "tests: [{command: x, setup: [{a: b}]}]": "1:30: an item of 'setup' must be a list",
    "tests: [{command: x, arguments: [y]}]": "1:33: cannot combine 'command' and 'arguments'",
    "tests: [{input: x, tcp: {port: 1}}]": "1:17: cannot combine 'input' and a check of a port",
    "tests: [{command: x, stdout: {}}]": "1:30: nothing is expected",
    "tests: [{command: x, stdout: hello}]": "1:30: 'stdout' must be a mapping of keys to values",
    "tests: [{command: x, stdout: {matches: '('}}]": (
        "1:40: '(' is not a regular expression: missing ), unterminated subpattern at position 0"
    ),
    "tests: [{http: {path: x}}]": "1:23: 'x' is not a path of a URL",
    'tests: [{http: {headers: {A: "b\\nc"}}}]': "1:30: 'b\\nc' is not a header's value",
    "tests: [{tcp: {port: 0}}]": "1:22: 0 is out of range",
    "tests: [{file: {path: x}}]": "1:23: 'x' is not an absolute path",
    "tests: [{file: {path: /x, exists: false, mode: '0644'}}]": (
        "1:16: a file that must not exist cannot have other properties"
    ),
    "tests: [{name: a, command: x}, {name: a, command: y}]": "1:32: 'a' is listed twice in 'tests'",
    "[]": "1:1: a file of tests must be a mapping of keys to values",
    "": "1:1: a file of tests must be a mapping of keys to values",
    "schemaVersion: 1.0.0": "1:16: '1.0.0' is not allowed here",
    "{schemaVersion: 2.0.0, licenseTests: []}": "1:24: license tests are not supported",
    "{schemaVersion: 2.0.0, commandTests: [{name: x}]}": "1:39: 'command' is missing",
    "{schemaVersion: 2.0.0, containerRunOptions: {privileged: true}}": "1:46: 'privileged' is not supported",
}


@pytest.mark.parametrize("text", WRONG)
def test_errors_have_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.yaml").write_text(text)
    assert problems("t.yaml")[0].startswith(f"t.yaml:{WRONG[text]}")


def test_a_recipe_is_a_file_of_tests_too(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "tests: [{command: x}]\n")
    assert [test.title() for test in read_tests(str(path))] == ["x"]


def test_data_may_have_nul_characters_and_arguments_may_not(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + 'tests: [{tcp: {port: 1, send: "a\\0b", receive: {contains: "\\0"}}}]\n')
    assert load_recipe(path).tests[0].tcp[0].send == "a\0b"
    path = write(tmp_path, 'tests: [{command: [x, "a\\0b"]}]\n', "tests.yaml")
    assert problems(path) == [f"{path}:1:23: the string contains a NUL character"]
