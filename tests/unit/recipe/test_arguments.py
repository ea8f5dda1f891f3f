"""Arguments: only declared names are replaced, everything else is literal, and values are only data."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import RecipeError, UsageError
from pumice.recipe import arguments, show
from pumice.recipe.load import load_effective, load_recipe
from tests.support.recipes import HEAD, write

NAMES = st.sampled_from(["A", "B", "AB", "_x", "VERSION"])
PIECES = st.sampled_from(["$", "${", "}", "{", "A", "B", "${A}", "$${A}", "$$${B}", "${AB}", "$A", "\\", " "])
TEXTS = st.lists(PIECES | st.text(max_size=3), max_size=12).map("".join)
VALUES = st.dictionaries(NAMES, TEXTS)


@given(TEXTS)
def test_without_arguments_every_text_is_literal(text: str) -> None:
    assert arguments.replace_text(text, {}) == text


@given(TEXTS, VALUES)
def test_an_escaped_text_is_literal_whatever_the_values_are(text: str, values: dict[str, str]) -> None:
    assert arguments.replace_text(arguments.escape_text(text, values), values) == text


@given(st.lists(st.tuples(st.text(st.characters(exclude_characters="$"), max_size=3), NAMES)), VALUES)
def test_a_value_is_inserted_as_it_is_and_never_replaced_again(
    parts: list[tuple[str, str]], values: dict[str, str]
) -> None:
    text = "".join(f"{literal}${{{name}}}" for literal, name in parts)
    expected = "".join(literal + values.get(name, f"${{{name}}}") for literal, name in parts)
    assert arguments.replace_text(text, values) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${VERSION}", "1.2"),
        ("a-${VERSION}-${VERSION}", "a-1.2-1.2"),
        ("$${VERSION}", "${VERSION}"),
        ("$$${VERSION}", "$${VERSION}"),
        (
            "$VERSION ${VERSIONS} ${VERSION:-1} ${ VERSION }",
            "$VERSION ${VERSIONS} ${VERSION:-1} ${ VERSION }",
        ),
        ("$${OTHER} ${PATH}", "$${OTHER} ${PATH}"),
        ("${${VERSION}}", "${1.2}"),
    ],
)
def test_which_texts_are_replaced(text: str, expected: str) -> None:
    assert arguments.replace_text(text, {"VERSION": "1.2"}) == expected


RECIPE = """\
args: {VERSION: "1.2", FLAVOR: }
name: example.com/${FLAVOR}
version: ${VERSION}
from: {debian: bookworm}
packages: ["python3=${VERSION}", "-${FLAVOR}"]
environment: {"${FLAVOR}_not_a_key": "v${VERSION}"}
users: [{name: app, uid: "${UID}"}]
files:
  - to: /a
    text: |
      ${FLAVOR} ${HOME}
      $${FLAVOR}
run: {command: [/bin/sh, -c, "echo ${VERSION}"]}
"""


def test_values_of_all_kinds_are_replaced_and_keys_are_not(tmp_path: Path) -> None:
    text = RECIPE.replace("FLAVOR: }", "FLAVOR: , UID: 7}").replace('"${FLAVOR}_not_a_key"', "KEY")
    recipe = load_recipe(write(tmp_path, text), {"FLAVOR": "slim"})
    assert recipe.args == {"VERSION": "1.2", "FLAVOR": "slim", "UID": "7"}
    assert (recipe.name, recipe.version) == ("example.com/slim", "1.2")
    assert [(request.name, request.version, request.exclude) for request in recipe.packages] == [
        ("python3", "1.2", False),
        ("slim", "", True),
    ]
    assert recipe.packages[0].where == f"{tmp_path}/recipe.yaml:5:12"
    assert recipe.environment == {"KEY": "v1.2"}
    assert recipe.users[0].uid == 7
    assert recipe.files[0].text == "slim ${HOME}\n${FLAVOR}\n"
    assert recipe.run.command == ("/bin/sh", "-c", "echo 1.2")


def problems(path: Path, values: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, values)
    return [
        f"{problem.where}: {problem.message}".removeprefix(f"{path.parent}/")
        for problem in caught.value.problems
    ]


def test_an_argument_in_a_key_is_literal(tmp_path: Path) -> None:
    text = "args: {A: x}\n" + HEAD + 'environment: {"${A}": y}\n'
    assert problems(write(tmp_path, text)) == ["recipe.yaml:5:15: '${A}' is not a variable's name"]


def test_a_required_argument_must_be_given(tmp_path: Path) -> None:
    path = write(tmp_path, "args:\n  A:\n  B:\n  C: ''\n" + HEAD + "description: ${A}${C}.\n")
    assert problems(path) == [
        "recipe.yaml:2:5: the argument A has no value",
        "recipe.yaml:3:5: the argument B has no value",
    ]
    assert load_recipe(path, {"A": "", "B": "x"}).description == "."


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ("{a-b: x}", "recipe.yaml:1:8: 'a-b' is not an argument's name"),
        ("{A: [x]}", "recipe.yaml:1:11: 'A' must be a string, not a list"),
        ("[A]", "recipe.yaml:1:7: 'args' must be a mapping of names to values, not a list"),
        ("{A: x, A: y}", "recipe.yaml:1:14: duplicate key 'A', first used in line 1"),
    ],
)
def test_malformed_declarations_are_problems(tmp_path: Path, args: str, problem: str) -> None:
    assert problems(write(tmp_path, f"args: {args}\n{HEAD}")) == [problem]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("VERSON", "did you mean 'VERSION'?"), ("x", "arguments: FLAVOR, VERSION")],
)
def test_an_undeclared_name_is_an_error_with_a_suggestion(tmp_path: Path, name: str, hint: str) -> None:
    path = write(tmp_path, RECIPE)
    with pytest.raises(UsageError) as caught:
        load_recipe(path, {name: "1"})
    assert (caught.value.message, caught.value.hint) == (f"the recipe has no argument '{name}'", hint)
    assert caught.value.where == str(path)


def test_a_recipe_without_arguments_says_how_to_declare_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe(write(tmp_path, HEAD), {"A": "1"})
    assert caught.value.hint == "declare it in the recipe: 'args: {A: default}'"


@pytest.mark.parametrize("value", ["a\0b", "a\udcff"])
def test_a_value_that_no_recipe_could_contain_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(UsageError, match="the value of the argument 'A'"):
        load_recipe(write(tmp_path, f"args: {{A: x}}\n{HEAD}"), {"A": value})


def test_a_value_cannot_add_keys_or_items(tmp_path: Path) -> None:
    text = f"args: {{A: x}}\n{HEAD}description: ${{A}}\ninclude: [docs]\nlabels: {{l: '${{A}}'}}\n"
    value = 'y\nrun: {user: root}\n- "}, {*a, &b !tag'
    recipe = load_recipe(write(tmp_path, text), {"A": value})
    assert (recipe.description, recipe.labels, recipe.run.user) == (value, {"l": value}, "")


def test_an_invalid_value_is_reported_at_the_place_that_uses_it(tmp_path: Path) -> None:
    path = write(tmp_path, RECIPE.replace("users:", "# users:").replace("${FLAVOR}_not_a_key", "KEY"))
    assert problems(path, {"FLAVOR": "A B"}) == [
        "recipe.yaml:2:7: 'example.com/A B' is not an image name",
        "recipe.yaml:5:34: '-A B' is not a package",
    ]


def test_a_short_recipe_cannot_fill_the_memory(tmp_path: Path) -> None:
    text = f"args: {{A: {'x' * 300_000}}}\n{HEAD}labels:\n" + f"  a: {'${A}' * 100_000}\n"
    (problem,) = problems(write(tmp_path, text))
    assert problem == "recipe.yaml:6:6: the values are longer than 8 MiB after replacing arguments"


def test_arguments_of_an_extended_recipe_can_be_set(tmp_path: Path) -> None:
    write(tmp_path, f"args: {{V: '1', W: }}\n{HEAD}description: ${{V}}-${{W}}\n", "base.yaml")
    path = write(tmp_path, "extend: base.yaml\nargs: {W: w}\nlabels: {a: '${V}'}\n")
    assert load_recipe(path).description == "1-w"
    recipe = load_recipe(path, {"V": "2"})
    assert (recipe.description, recipe.labels, recipe.args) == ("2-w", {"a": "2"}, {"V": "2", "W": "w"})


def test_an_extending_recipe_can_require_a_value(tmp_path: Path) -> None:
    write(tmp_path, f"args: {{V: '1'}}\n{HEAD}description: ${{V}}\n", "base.yaml")
    path = write(tmp_path, "extend: base.yaml\nargs: {V: }\n")
    assert problems(path) == ["recipe.yaml:2:11: the argument V has no value"]
    assert load_recipe(path, {"V": "3"}).description == "3"


def test_a_new_argument_does_not_change_texts_of_the_extended_recipe(tmp_path: Path) -> None:
    write(tmp_path, HEAD + "description: echo ${V}\n", "base.yaml")
    recipe = load_recipe(write(tmp_path, "extend: base.yaml\nargs: {V: '1'}\nlabels: {a: '${V}'}\n"))
    assert (recipe.description, recipe.labels) == ("echo ${V}", {"a": "1"})


def test_replaced_paths_stay_relative_to_the_file_that_contains_them(tmp_path: Path) -> None:
    base = f"args: {{D: debs}}\n{HEAD}packages: ['./${{D}}/a.deb']\n"
    write(tmp_path, base, "shared/base.yaml")
    recipe = load_recipe(write(tmp_path, "extend: shared/base.yaml\n"), {"D": "other"})
    assert recipe.packages[0].file == "shared/other/a.deb"


def test_items_are_merged_by_their_replaced_names(tmp_path: Path) -> None:
    write(tmp_path, f"args: {{P: perl}}\n{HEAD}packages: ['${{P}}', curl]\n", "base.yaml")
    recipe = load_recipe(write(tmp_path, "extend: base.yaml\npackages: [-perl]\n"))
    assert [request.name for request in recipe.packages] == ["curl"]


def test_show_prints_values_and_where_they_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path,
        "args: {A: x, B: }\n" + HEAD + "description: ${A} ${B} ${C} $${A}\nlabels: {l: '${B}', m: $A}\n",
    )
    effective = load_effective("recipe.yaml", {"B": "${A}"})
    assert show.format_yaml(effective) == (
        "args:\n"
        "  A: x  # recipe.yaml:1:11\n"
        '  B: "${A}"  # recipe.yaml:1:17, set by --arg\n'
        "name: example.com/hello  # recipe.yaml:2:7\n"
        'version: "1.0"  # recipe.yaml:3:10\n'
        "from:\n"
        "  debian: bookworm  # recipe.yaml:4:16\n"
        'description: "x $${A} ${C} $${A}"  # recipe.yaml:5:14, ${A}, ${B}\n'
        "labels:\n"
        '  l: "$${A}"  # recipe.yaml:6:13, ${B}\n'
        '  m: "$A"  # recipe.yaml:6:24\n'
    )
    assert show.format_json(effective)["recipe"]["description"] == "x ${A} ${C} ${A}"
    assert show.format_json(effective)["arguments"] == {"/description": ["A", "B"], "/labels/l": ["B"]}


@given(VALUES, TEXTS.filter(str.isprintable))
def test_the_shown_recipe_loads_as_the_same_recipe(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, str], text: str
) -> None:
    from tests.support.recipes import as_yaml

    folder = tmp_path_factory.getbasetemp()
    document = {
        "name": "a",
        "version": "1",
        "from": {"debian": "x"},
        "args": dict.fromkeys(values, "default"),
    }
    document["description"] = text or "x"
    given_values = {name: value for name, value in values.items() if "\0" not in value}
    effective = load_effective(write(folder, as_yaml(document), "shown.yaml"), given_values)
    again = load_recipe(write(folder, show.format_yaml(effective), "again.yaml"))
    assert (again.description, again.args) == (effective.recipe.description, effective.recipe.args)


def test_changes_are_described_in_one_line() -> None:
    old, new = {"A": "1", "B": "x", "D": "d"}, {"A": "2", "C": "a b", "D": "d"}
    assert arguments.describe_changes(old, new) == "A 1 -> 2, B x removed, C 'a b' added"
    assert arguments.describe_changes(new, new) == ""
