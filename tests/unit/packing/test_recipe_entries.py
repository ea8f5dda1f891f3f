"""The entries of a recipe's ``files`` rules: destinations, refused sources, and determinism."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumice.errors import RecipeError
from pumice.packing.recipe_entries import LARGE_FILE, RecipeEntry, collect_entries
from pumice.recipe.load import load_recipe
from pumice.recipe.model import FileRule
from tests.support.recipes import HEAD, write


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """Return a directory with ``app``: files, a script, a link and a subdirectory."""
    folder = tmp_path / "recipe" / "app"
    (folder / "lib").mkdir(parents=True)
    (folder / "main.py").write_text("main")
    (folder / "run").write_text("#!")
    (folder / "run").chmod(0o700)
    (folder / ".hidden").write_text("")
    (folder / "lib" / "a.py").write_text("a")
    (folder / "lib" / "a.pyc").write_text("old")
    (folder / "current").symlink_to("lib/a.py")
    return folder.parent


def rule(
    source: str = "", to: str = "/x", line: int = 1, file: str = "recipe.yaml", **fields: Any
) -> FileRule:
    return FileRule(source=source, to=to, where=f"{file}:{line}:5", **fields)


def resolve_owner(text: str) -> tuple[int, int]:
    return {"web": (33, 34), "7:8": (7, 8)}[text]


def collect(root: Path, *rules: FileRule) -> list[RecipeEntry]:
    return list(collect_entries(rules, root, resolve_owner))


def paths(root: Path, *rules: FileRule) -> list[str]:
    return [item.entry.path for item in collect(root, *rules)]


def collect_problems(root: Path, *rules: FileRule) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        collect(root, *rules)
    return [f"{problem.where}: {problem.message}" for problem in caught.value.problems]


def test_a_directory_is_copied_with_its_content(app: Path) -> None:
    entries = [
        (item.entry.path, item.entry.kind, item.entry.mode, item.entry.size, item.entry.link, item.content)
        for item in collect(app, rule("app", "/srv/app"))
    ]
    assert entries == [
        ("srv/app", "dir", 0o755, 0, "", b""),
        ("srv/app/.hidden", "file", 0o644, 0, "", b""),
        ("srv/app/current", "symlink", 0o777, 0, "lib/a.py", b""),
        ("srv/app/lib", "dir", 0o755, 0, "", b""),
        ("srv/app/lib/a.py", "file", 0o644, 1, "", b"a"),
        ("srv/app/lib/a.pyc", "file", 0o644, 3, "", b"old"),
        ("srv/app/main.py", "file", 0o644, 4, "", b"main"),
        ("srv/app/run", "file", 0o755, 2, "", b"#!"),
    ]


def test_texts_links_and_directories_need_no_source(app: Path) -> None:
    rules = (
        FileRule(to="/etc/motd", text="ä\n"),
        FileRule(to="/bin/sh", link="busybox"),
        FileRule(to="/data", directory=True, mode=0o1777, owner="web"),
    )
    entries = [
        (item.entry.path, item.entry.mode, item.entry.uid, item.entry.gid, item.content)
        for item in collect(app, *rules)
    ]
    assert entries == [
        ("bin/sh", 0o777, 0, 0, b""),
        ("data", 0o1777, 33, 34, b""),
        ("etc/motd", 0o644, 0, 0, b"\xc3\xa4\n"),
    ]


@pytest.mark.parametrize(
    ("source", "to", "first"),
    [
        ("app/main.py", "/etc/x.py", "etc/x.py"),
        ("app/main.py", "/etc/", "etc/main.py"),
        ("app/main.py", "/", "main.py"),
        ("app/lib", "/srv", "srv"),
        ("app/lib", "/srv/", "srv/lib"),
        ("app/lib/", "/srv/", "srv"),
        ("app/lib", "/", "a.py"),
        (".", "/w", "w"),
        ("./app//lib/.", "/srv", "srv"),
    ],
)
def test_a_trailing_slash_copies_into_a_directory(app: Path, source: str, to: str, first: str) -> None:
    assert paths(app, rule(source, to))[0] == first


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("app/*.py", ["x/main.py"]),
        ("app/**/*.py", ["x/lib/a.py", "x/main.py"]),
        ("app/*/a.py", ["x/lib/a.py"]),
        ("app/l*", ["x/lib", "x/lib/a.py", "x/lib/a.pyc"]),
        ("app/.h*", ["x/.hidden"]),
        ("app/[mr]*", ["x/main.py", "x/run"]),
        ("**/a.p?", ["x/app/lib/a.py"]),
        ("app/c*", ["x/current"]),
    ],
)
def test_a_glob_keeps_the_path_after_its_fixed_part(app: Path, source: str, expected: list[str]) -> None:
    assert paths(app, rule(source, "/x")) == expected


def test_ignored_files_are_not_copied(app: Path) -> None:
    copied = paths(app, rule("app", "/app", ignore=("*.pyc", "/run", ".*", "current")))
    assert copied == ["app", "app/lib", "app/lib/a.py", "app/main.py"]


def test_a_mode_applies_to_files_and_makes_directories_searchable(app: Path) -> None:
    modes = {item.entry.path: item.entry.mode for item in collect(app, rule("app", "/app", mode=0o640))}
    assert (modes["app"], modes["app/run"], modes["app/lib"]) == (0o750, 0o640, 0o750)


def test_an_owner_applies_to_every_entry(app: Path) -> None:
    assert {
        (item.entry.uid, item.entry.gid, item.owner)
        for item in collect(app, rule("app", "/app", owner="7:8"))
    } == {(7, 8, "7:8")}


def test_a_link_as_source_is_followed_and_a_link_below_is_kept(app: Path) -> None:
    (item,) = collect(app, rule("app/current", "/x"))
    assert (item.entry.kind, item.content) == ("file", b"a")


def test_hard_links_become_separate_files(app: Path) -> None:
    os.link(app / "app/main.py", app / "app/same.py")
    kinds = {item.entry.path: item.entry.kind for item in collect(app, rule("app", "/a"))}
    assert kinds["a/main.py"] == kinds["a/same.py"] == "file"


def test_a_large_file_is_passed_as_its_path(app: Path) -> None:
    (app / "big").write_bytes(b"x" * LARGE_FILE)
    (item,) = collect(app, rule("big", "/big"))
    assert isinstance(item.content, Path)
    assert (item.content.samefile(app / "big"), item.entry.size) == (True, LARGE_FILE)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("ap", "'ap' does not exist in the recipe's directory"),
        ("app/none/x", "'app/none/x' does not exist in the recipe's directory"),
        ("outside/passwd", "'outside/passwd' is outside the recipe's directory"),
        ("outside", "'outside' is outside the recipe's directory"),
        ("app/dangling", "'app/dangling' does not exist in the recipe's directory"),
        ("app/loop", "'app/loop' does not exist in the recipe's directory"),
        ("app/*.none", "no file matches 'app/*.none'"),
        ("app/main.py/", "'app/main.py/' is not a directory"),
        ("outside/*", "'outside/*' is outside the recipe's directory"),
    ],
)
def test_a_missing_or_invalid_source_is_reported(app: Path, source: str, message: str) -> None:
    (app / "outside").symlink_to("/etc")
    (app / "app" / "dangling").symlink_to("nowhere")
    (app / "app" / "loop").symlink_to("loop")
    assert collect_problems(app, rule(source)) == [f"recipe.yaml:1:5: {message}"]


def test_nothing_outside_the_recipe_directory_is_read(app: Path) -> None:
    (app.parent / "secret").write_text("secret")
    (app / "app" / "way").symlink_to("../..")
    for source in ("app/way/secret", "app/way", "app/way/*", "app/w*/secret", "app/**/secret"):
        assert len(collect_problems(app, rule(source))) == 1
    kinds = {item.entry.path: item.entry.kind for item in collect(app, rule("app", "/a"))}
    assert kinds["a/way"] == "symlink"


def test_special_files_are_refused(app: Path) -> None:
    os.mkfifo(app / "app" / "pipe")
    assert collect_problems(app, rule("app")) == [f"recipe.yaml:1:5: '{app}/app/pipe' is a named pipe"]
    assert paths(app, rule("app", "/x", ignore=("pipe",)))
    (app / "app" / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(app / "app" / "s"))
        assert collect_problems(app, rule("app")) == [f"recipe.yaml:1:5: '{app}/app/s' is a socket"]


def test_names_that_are_not_utf_8_are_refused_unless_ignored(app: Path) -> None:
    (Path(os.fsdecode(os.fsencode(app) + b"/app/a\xff"))).write_text("")
    (problem,) = collect_problems(app, rule("app"))
    assert problem.endswith("app/a\\\\xff' is not UTF-8")
    assert paths(app, rule("app", "/x", ignore=("a?",)))
    assert paths(app, rule("app/*.py", "/x")) == ["x/main.py"]


def test_all_problems_are_reported_at_once(app: Path) -> None:
    assert len(collect_problems(app, rule("a"), rule("b", line=2), rule("app"), rule("c", line=3))) == 3


def test_conflicting_rules_of_one_recipe_are_refused(app: Path) -> None:
    copy_rule = rule("app/main.py", "/x", 1)
    assert collect_problems(app, copy_rule, FileRule(to="/x", text="other", where="recipe.yaml:2:5")) == [
        "recipe.yaml:2:5: two rules add different entries at '/x'"
    ]
    assert collect_problems(app, copy_rule, rule("app/main.py", "/x", 2, mode=0o600))
    assert collect_problems(app, copy_rule, rule("app/main.py", "/x", 2, owner="web"))
    assert paths(app, copy_rule, FileRule(to="/x", text="main", where="recipe.yaml:2:5")) == ["x"]
    assert paths(app, rule("app", "/x"), rule("app/lib", "/x/lib")) == paths(app, rule("app", "/x"))


def test_large_files_are_compared_by_content(app: Path) -> None:
    (app / "one").write_bytes(b"x" * LARGE_FILE)
    (app / "two").write_bytes(b"x" * LARGE_FILE)
    assert paths(app, rule("one", "/x"), rule("two", "/x")) == ["x"]
    (app / "two").write_bytes(b"x" * LARGE_FILE + b"y")
    assert collect_problems(app, rule("one", "/x"), rule("two", "/x"))


def test_the_extending_recipe_overrides_a_rule(app: Path) -> None:
    base_rule = FileRule(to="/x", text="below", where="base.yaml:1:5")
    recipe_rule = FileRule(to="/x", text="above", where="recipe.yaml:1:5")
    assert [item.content for item in collect(app, base_rule, recipe_rule)] == [b"above"]


def test_a_directory_rule_overrides_a_copied_directory(app: Path) -> None:
    directory_rule = FileRule(to="/app/lib", directory=True, mode=0o700, where="recipe.yaml:9:5")
    for rules in ((rule("app", "/app"), directory_rule), (directory_rule, rule("app", "/app"))):
        assert {item.entry.path: item.entry.mode for item in collect(app, *rules)}["app/lib"] == 0o700


@pytest.mark.parametrize("kind", [{"text": "a"}, {"link": "b"}])
def test_a_path_below_a_file_or_link_is_refused(app: Path, kind: dict[str, str]) -> None:
    parent_rule = FileRule(to="/a", where="recipe.yaml:1:5", text=kind.get("text"), link=kind.get("link", ""))
    child_rule = FileRule(to="/a/b/c", text="c", where="recipe.yaml:2:5")
    (problem,) = collect_problems(app, parent_rule, child_rule)
    assert problem.startswith("recipe.yaml:2:5: cannot add '/a/b/c': '/a' is a ")


def test_files_of_an_extended_recipe_come_from_its_own_directory(app: Path) -> None:
    write(app.parent, "files: [{from: conf, to: /conf}]\n", "common/base.yaml")
    write(app.parent, "common", "common/conf")
    recipe = load_recipe(
        write(app, f"extend: ../common/base.yaml\n{HEAD}files: [{{from: app/main.py, to: /m}}]\n")
    )
    assert {item.entry.path: item.content for item in collect_entries(recipe.files, app, resolve_owner)} == {
        "conf": b"common",
        "m": b"main",
    }


_SCRIPT = """
import sys
from pathlib import Path
from pumice.packing.recipe_entries import collect_entries
from pumice.recipe.model import FileRule
for item in collect_entries([FileRule(to="/a", source="app")], Path(sys.argv[1]), lambda _: (0, 0)):
    print(ascii(item))
"""


@pytest.mark.parametrize("locale", ["C.UTF-8", "C", "POSIX"])
def test_the_result_does_not_depend_on_locale_and_umask(app: Path, locale: str) -> None:
    (app / "app" / "ümläut").write_text("")
    (app / "app" / "link").symlink_to("ümläut")

    def run_in_locale(locale: str, umask: int, utf8: str) -> str:
        environment = {**os.environ, "LC_ALL": locale, "PYTHONUTF8": utf8, "PYTHONCOERCECLOCALE": "0"}
        command = [sys.executable, "-c", _SCRIPT, str(app)]
        process = subprocess.run(
            command, env=environment, umask=umask, capture_output=True, text=True, check=True
        )
        return process.stdout

    assert run_in_locale(locale, 0o077, "0") == run_in_locale("C.UTF-8", 0o022, "1")


_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=5).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 200
)


@settings(max_examples=50)
@given(
    st.dictionaries(st.lists(_NAMES, min_size=1, max_size=3).map(tuple), st.binary(max_size=9), max_size=6)
)
def test_every_file_is_copied_with_its_content(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[tuple[str, ...], bytes]
) -> None:
    root = tmp_path_factory.mktemp("tree")
    (root / "app").mkdir()
    expected = {}
    for components, content in tree.items():
        path = root / "app" / "/".join(components)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError:
            continue  # the parent is already a file
        expected["/".join(("a", *components))] = content
    entries = collect(root, rule("app", "/a"))
    assert {item.entry.path: item.content for item in entries if item.entry.kind == "file"} == expected
    assert [item.entry.path for item in entries] == sorted(item.entry.path for item in entries)
