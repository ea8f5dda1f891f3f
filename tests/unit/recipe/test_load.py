"""Every key of a recipe: what it takes and what it becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumice.errors import RecipeError
from pumice.recipe import model
from pumice.recipe.load import load_recipe
from tests.support.recipes import HEAD, as_yaml, load, values, write


def refused(folder: Path, text: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load(folder, text)
    return [problem.message for problem in caught.value.problems]


def test_three_keys_are_a_complete_recipe(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD)
    assert load_recipe(path) == model.Recipe(
        name="example.com/hello", version="1.0", origin=model.Origin(debian="bookworm"), path=str(path)
    )


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("description: no", "description", "no"),
        ('labels: {a.b: 1.10, c: ""}', "labels", {"a.b": "1.10", "c": ""}),
        ("annotations: {org.example: yes}", "annotations", {"org.example": "yes"}),
        ("base: essential", "base", "essential"),
        ("recommends: true", "recommends", True),
        ("recommends: 'false'", "recommends", False),
        ("environment: {A: 0755, b.c-d: x}", "environment", {"A": "0755", "b.c-d": "x"}),
        ("archs: [amd64, linux/arm64, arm/v7, riscv64]", "archs", ("amd64", "arm64", "armhf", "riscv64")),
        ("archs: [x86_64, ppc64le, 386]", "archs", ("amd64", "ppc64el", "i386")),
        ("layers: single", "layers", "single"),
        (
            "include: [docs, man, info, locales, lintian]",
            "include",
            ("docs", "man", "info", "locales", "lintian"),
        ),
        ("python: {bytecode: true}", "python", model.Python(bytecode=True)),
        ("packages: []", "packages", ()),
        (
            "groups: [{name: g, gid: 0}, {name: h}]",
            "groups",
            (model.Group(name="g", gid=0), model.Group(name="h")),
        ),
    ],
)
def test_a_key_becomes_its_value(tmp_path: Path, text: str, field: str, value: object) -> None:
    assert getattr(load(tmp_path, text), field) == value


def test_the_version_stays_as_written(tmp_path: Path) -> None:
    text = "name: example.com/x\nversion: 1.10\nfrom: {debian: bookworm}\n"
    assert load_recipe(write(tmp_path, text)).version == "1.10"


def test_all_keys_of_from(tmp_path: Path) -> None:
    text = """
name: example.com/x
version: "1"
from:
  debian: trixie
  mirrors: [https://mirror.example/debian, "file:/srv/debian"]
  security_mirrors: [http://mirror.example/debian-security/]
  snapshots: ["https://snapshot.example/{date}/debian"]
  components: [main, contrib]
  keyrings: [keys/a.asc, /usr/share/keyrings/b.gpg]
  suites: [trixie, trixie-backports]
  archives:
    - name: tools
      url: https://mirror.example/tools
      suite: stable
      components: [x/y]
      key: k.asc
    - {name: bare, url: "file:/srv/bare", suite: x, trusted: true}
"""
    assert load_recipe(write(tmp_path, text)).origin == model.Origin(
        debian="trixie",
        mirrors=("https://mirror.example/debian", "file:/srv/debian"),
        security_mirrors=("http://mirror.example/debian-security/",),
        snapshots=("https://snapshot.example/{date}/debian",),
        components=("main", "contrib"),
        keyrings=("keys/a.asc", "/usr/share/keyrings/b.gpg"),
        suites=("trixie", "trixie-backports"),
        archives=(
            model.ExtraArchive(
                name="tools",
                url="https://mirror.example/tools",
                suite="stable",
                components=("x/y",),
                key="k.asc",
            ),
            model.ExtraArchive(name="bare", url="file:/srv/bare", suite="x", trusted=True),
        ),
    )


def test_packages_are_plain_pinned_excluded_or_local(tmp_path: Path) -> None:
    recipe = load(
        tmp_path, "packages: [python3, curl=1:7.88.1-10+deb12u8, -perl, ./debs//x.deb, ../y.deb, 7zip]"
    )
    assert [
        (request.name, request.version, request.exclude, request.file) for request in recipe.packages
    ] == [
        ("python3", "", False, ""),
        ("curl", "1:7.88.1-10+deb12u8", False, ""),
        ("perl", "", True, ""),
        ("", "", False, "debs/x.deb"),
        ("", "", False, "../y.deb"),
        ("7zip", "", False, ""),
    ]
    assert recipe.packages[1].where == f"{tmp_path}/recipe.yaml:4:21"


def test_all_keys_of_files(tmp_path: Path) -> None:
    text = """
files:
  - {from: app, to: /app/, mode: 0640, owner: "app:1000", ignore: ["*.pyc", "!a.pyc"]}
  - {text: "", to: /empty, mode: 755}
  - {link: ../x, to: /bin/x}
  - {directory: true, to: /data, mode: "1777", owner: 0}
"""
    rules = load(tmp_path, text).files
    assert [rule.where for rule in rules] == [f"{tmp_path}/recipe.yaml:{line}:5" for line in range(6, 10)]
    plain = [
        (r.to, r.source, r.text, r.link, r.directory, r.mode, r.owner, r.ignore, r.base_dir) for r in rules
    ]
    assert plain == [
        ("/app/", "app", None, "", False, 0o640, "app:1000", ("*.pyc", "!a.pyc"), ""),
        ("/empty", "", "", "", False, 0o755, "", (), ""),
        ("/bin/x", "", None, "../x", False, None, "", (), ""),
        ("/data", "", None, "", True, 0o1777, "0", (), ""),
    ]


def test_users_have_ids_homes_and_groups(tmp_path: Path) -> None:
    text = """
users:
  - {name: app, uid: 1000, group: 7, groups: [tty], home: /, shell: /bin/sh, comment: A B}
  - {name: _x}
"""
    assert load(tmp_path, text).users == (
        model.User(
            name="app", uid=1000, group="7", groups=("tty",), home="/", shell="/bin/sh", comment="A B"
        ),
        model.User(name="_x"),
    )


def test_all_keys_of_run(tmp_path: Path) -> None:
    text = """
run:
  user: no
  command: [/bin/x, 1.10, ""]
  arguments: [--a, yes]
  directory: /app
  ports: {http: 08080, dns: 53/udp}
  volumes: {data: /var/lib/app}
  stop_signal: SIGRTMIN+3
  health: {command: /bin/check, interval: 5m, timeout: 10, start_period: 1h, retries: 5}
"""
    assert load(tmp_path, text).run == model.Run(
        user="no",
        command=("/bin/x", "1.10", ""),
        arguments=("--a", "yes"),
        directory="/app",
        ports={"http": "8080/tcp", "dns": "53/udp"},
        volumes={"data": "/var/lib/app"},
        stop_signal="SIGRTMIN+3",
        health=model.HealthCheck(
            command=("/bin/check",), interval=300, timeout=10, start_period=3600, retries=5
        ),
    )


def test_one_program_is_a_command(tmp_path: Path) -> None:
    assert load(tmp_path, "run: {command: python3}").run.command == ("python3",)


@pytest.mark.parametrize("mode", ["0755", "755", "0o755", '"0755"', "'755'"])
def test_a_mode_is_octal_however_it_is_written(tmp_path: Path, mode: str) -> None:
    (rule,) = load(tmp_path, f"files: [{{from: a, to: /a, mode: {mode}}}]").files
    assert rule.mode == 0o755


@pytest.mark.parametrize(
    "text",
    [
        "users: [{name: a, uid: 7}, {name: b, uid: 7}]",
        "groups: [{name: b, gid: 7}, {name: b, gid: 8}]",
        "groups: [{name: a, gid: 7}, {name: b, gid: 7}]",
        "run: {ports: {a: 80, b: 80/tcp}}",
        "run: {volumes: {a: /x, b: /x}}",
        "run: {stop_signal: SIGNOPE}",
        "run: {stop_signal: SIGTERM+1}",
        "run: {health: {command: x, interval: 9999h}}",
        "files: [{from: a/../b, to: /x}]",
        "files: [{from: a, to: /x/./y}]",
    ],
)
def test_contradictions_are_reported_once(tmp_path: Path, text: str) -> None:
    assert len(refused(tmp_path, text)) == 1


def test_a_long_list_of_problems_is_truncated(tmp_path: Path) -> None:
    message = refused(tmp_path, "packages:\n" + "".join(f"  - Bad{number}\n" for number in range(500)))
    assert len(message) == 51
    assert message[-1] == "450 more problems"


def test_a_password_in_a_mirror_is_not_repeated(tmp_path: Path) -> None:
    path = write(tmp_path, "from: {debian: x, mirrors: ['https://me:hunter2@mirror.example/']}")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert "hunter2" not in str(caught.value)


def test_an_unreadable_file_is_reported_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.symlink_to(path)
    with pytest.raises(RecipeError, match="cannot read the recipe"):
        load_recipe(path)


@pytest.mark.parametrize("name", ["no/such.yaml", ".", "a" * 5000])
def test_a_path_that_is_not_a_file_is_reported_in_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecipeError):
        load_recipe(tmp_path / name)


def test_each_example_of_the_project_loads() -> None:
    examples = Path(__file__).resolve().parents[3] / "examples"
    recipes = [load_recipe(path) for path in sorted(examples.glob("*/recipe.yaml"))]
    assert len(recipes) >= 6


_WORDS = [
    "name",
    "version",
    "from",
    "packages",
    "files",
    "to",
    "run",
    "extend",
    "debian",
    "-",
    "[",
    "]",
    "{",
    "}",
]
_WORDS += [": ", ", ", "\n", "  ", "*a", "&a ", "'", "recipe.yaml", "./x.deb", "/", "..", "é", "|", "0755"]


@given(
    st.binary(max_size=100)
    | st.lists(st.sampled_from(_WORDS), max_size=40).map(lambda w: "".join(w).encode())
)
def test_any_bytes_are_a_recipe_or_a_recipe_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "recipe.yaml"
    path.write_bytes(data)
    _loads_or_is_refused(path)


_ANYTHING = st.recursive(
    st.text(max_size=8) | st.integers() | st.booleans() | st.none() | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS[:9]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=40)
@given(values(), st.dictionaries(st.sampled_from(_WORDS[:9]), _ANYTHING, max_size=2))
def test_any_change_of_a_recipe_is_a_recipe_or_a_recipe_error(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, Any], change: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.yaml"
    path.write_text(as_yaml({**value, **change}), encoding="utf-8")
    _loads_or_is_refused(path)


def _loads_or_is_refused(path: Path) -> None:
    try:
        assert isinstance(load_recipe(path), model.Recipe)
    except RecipeError as error:
        assert error.problems
        assert all(problem.message and "\n" not in problem.message for problem in error.problems)
