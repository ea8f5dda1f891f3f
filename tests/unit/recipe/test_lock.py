"""The lock: one way to write it, a strict way to read it, and what makes it stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import LockError
from pumice.recipe import lock, lock_reader, requirements
from pumice.recipe.lock import Ids, Lock, LockedIndex, LockedPackage
from pumice.recipe.model import Origin, Recipe, Request
from tests.support.recipes import load


def package(bare_name: str, **changes: Any) -> LockedPackage:
    fields: dict[str, Any] = {
        "name": bare_name,
        "version": "1:1.0-1+b1",
        "architecture": "amd64",
        "archive": "debian",
        "suite": "bookworm",
        "path": f"pool/main/{bare_name[0]}/{bare_name}/{bare_name}_1%3a1.0-1+b1_amd64.deb",
        "size": 1234,
        "sha256": "0123456789abcdef" * 4,
    }
    return LockedPackage(**{**fields, **changes})


INDEX = LockedIndex(
    archive="debian",
    suite="bookworm",
    codename="bookworm",
    origin="Debian",
    date=1_700_000_000,
    digest="sha256:" + "a" * 64,
    signers=("A" * 40,),
)
GOOD = Lock(
    requirements="sha256:" + "0" * 64,
    packages={
        "amd64": (package("bash"), package("zlib1g")),
        "arm64": (package("bash", architecture="arm64"),),
    },
    indexes=(INDEX,),
    ids=Ids(users={"redis": 100}, groups={"redis": 101}),
)
TEXT = lock.encode_lock(GOOD).decode()


def refused(text: str) -> LockError:
    with pytest.raises(LockError) as caught:
        lock_reader.parse_lock(text.encode(), "r.lock")
    return caught.value


def test_a_lock_has_one_package_per_line() -> None:
    assert (Path(__file__).resolve().parents[2] / "golden/lock/example.lock").read_text() == TEXT


def test_a_written_lock_reads_back_equal() -> None:
    assert lock_reader.parse_lock(TEXT.encode(), "r.lock") == GOOD


def test_order_does_not_matter() -> None:
    mixed = msgspec.structs.replace(
        GOOD, packages={"arm64": GOOD.packages["arm64"], "amd64": GOOD.packages["amd64"][::-1]}
    )
    assert lock.encode_lock(mixed) == lock.encode_lock(GOOD)
    text = msgspec.json.encode(mixed)
    assert lock.encode_lock(lock_reader.parse_lock(text, "r.lock")) == TEXT.encode()
    assert [package.name for package in lock_reader.parse_lock(text, "r.lock").packages["amd64"]] == [
        "bash",
        "zlib1g",
    ]


def test_a_changed_package_changes_one_line() -> None:
    newer = package("bash", version="2")
    changed_lock = msgspec.structs.replace(
        GOOD, packages={**GOOD.packages, "amd64": (newer, GOOD.packages["amd64"][1])}
    )
    lines = zip(TEXT.splitlines(), lock.encode_lock(changed_lock).decode().splitlines(), strict=True)
    assert sum(before != after for before, after in lines) == 1


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "r.lock").write_text(TEXT)
    assert lock_reader.read_lock(tmp_path / "r.lock") == GOOD


@pytest.mark.parametrize("name", ["none.lock", ".", "loop"])
def test_a_path_that_is_not_a_file_is_reported_in_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(LockError) as caught:
        lock_reader.read_lock(tmp_path / name)
    assert caught.value.where == str(tmp_path / name)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"lock": 1', '"lock": 2', "lock version 2 is not supported: this Pumice reads up to version 1"),
        (
            '"lock": 1',
            '"lock": 2, "new": {}',
            "lock version 2 is not supported: this Pumice reads up to version 1",
        ),
        (
            '"format": 2',
            '"format": 9',
            "lock format 9 is not supported: this Pumice builds up to format 2",
        ),
        ('"lock": 1', '"lock": 0', "the lock's 'lock' and 'format' are numbers from 1"),
        ('"lock": 1', '"lock": 1, "lock": 1', "the lock has a duplicate key"),
        ('"arm64": [', '"amd64": [], "arm64": [', "the lock has a duplicate key"),
        ('"sha256:0', '"md5:0', "the lock's 'requirements' is not a sha256 digest"),
        ('"arm64": [', '"../x": [', "'../x' is not an architecture"),
        ("  }\n}\n", "", "the lock is not JSON: it ends too early"),
        ('"redis": 100', '"redis": 0', "the user 'redis' has an invalid id"),
        ('"redis": 100', '"redis": 4294967295', "the user 'redis' has an invalid id"),
        ('"redis": 100', '"redis": 100, "b": 100', "two users of the lock have the same id"),
        ('"redis": 101', '"a:b": 101', "'a:b' is not a group's name"),
        ('  "format": 2', '<<<<<<< HEAD\n  "format": 2', "the lock contains merge conflict markers"),
    ],
)
def test_an_invalid_lock_is_rejected(old: str, new: str, message: str) -> None:
    assert old in TEXT
    error = refused(TEXT.replace(old, new, 1))
    assert (error.message, error.where) == (message, "r.lock")
    assert error.hint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": "../x.deb"}, "the path '../x.deb' of 'bash' is not a clean path in a mirror"),
        ({"path": "/etc/passwd"}, "the path '/etc/passwd' of 'bash' is not a clean path in a mirror"),
        ({"path": "a/../../x.deb"}, "the path 'a/../../x.deb' of 'bash' is not a clean path in a mirror"),
        ({"path": "a//x.deb"}, "the path 'a//x.deb' of 'bash' is not a clean path in a mirror"),
        ({"path": "http://x/y?z"}, "the path 'http://x/y?z' of 'bash' is not a clean path in a mirror"),
        ({"path": ""}, "the path '' of 'bash' is not a clean path in a mirror"),
        ({"role": "local", "path": "/x.deb"}, "the path '/x.deb' of 'bash' is not a clean relative path"),
        (
            {"role": "local", "path": "a/../x.deb"},
            "the path 'a/../x.deb' of 'bash' is not a clean relative path",
        ),
        ({"name": "../bash"}, "the name '../bash' of '../bash' is not a package's name"),
        ({"version": "1/2"}, "the version '1/2' of 'bash' is not a version"),
        ({"architecture": "Amd"}, "the architecture 'Amd' of 'bash' is not an architecture"),
        ({"archive": ""}, "the archive '' of 'bash' is not an archive's name"),
        ({"suite": "../x"}, "the suite '../x' of 'bash' is not a suite"),
        ({"sha256": "abc"}, "the sha256 'abc' of 'bash' is not 64 lower-case hexadecimal digits"),
        ({"sha256": "A" * 64}, f"the sha256 '{'A' * 64}' of 'bash' is not 64 lower-case hexadecimal digits"),
        ({"sha512": "0"}, "the sha512 '0' of 'bash' is not 128 lower-case hexadecimal digits"),
        ({"size": 0}, "the size 0 of 'bash' is out of range"),
        ({"size": 1 << 50}, "the size 1125899906842624 of 'bash' is out of range"),
        ({"source": "A B"}, "the source 'A B' of 'bash' is not a package's name"),
    ],
)
def test_the_grammar_of_packages_is_checked(changes: dict[str, Any], message: str) -> None:
    invalid_lock = msgspec.structs.replace(GOOD, packages={"amd64": (package("bash", **changes),)})
    error = refused(lock.encode_lock(invalid_lock).decode())
    assert (error.message, error.where) == (message, "r.lock:10:7")


def test_a_local_package_may_be_outside_the_recipes_directory() -> None:
    local = package("bash", role="local", path="../common/my tool.deb", archive="", suite="")
    valid_lock = msgspec.structs.replace(GOOD, packages={"amd64": (local,)})
    assert lock_reader.parse_lock(lock.encode_lock(valid_lock), "r.lock") == valid_lock


def test_duplicate_packages_are_rejected() -> None:
    invalid_lock = msgspec.structs.replace(
        GOOD, packages={"amd64": (package("bash"), package("bash", version="2"))}
    )
    assert refused(lock.encode_lock(invalid_lock).decode()).message == "duplicate package 'bash' for amd64"


@pytest.mark.parametrize(
    "changes",
    [
        {"archive": ""},
        {"suite": "a b"},
        {"digest": "x"},
        {"keyring": "/etc/passwd"},
        {"date": -1},
        {"signers": ("abc",)},
        {"origin": "a\nb"},
    ],
)
def test_the_grammar_of_indexes_is_checked(changes: dict[str, Any]) -> None:
    invalid_lock = msgspec.structs.replace(GOOD, indexes=(msgspec.structs.replace(INDEX, **changes),))
    assert refused(lock.encode_lock(invalid_lock).decode()).where == "r.lock:6:5"


def test_an_invalid_value_is_reported_with_its_line() -> None:
    error = refused(TEXT.replace('"size":1234', '"size":"1234"', 1))
    assert (error.where, error.message) == (
        "r.lock:10:7",
        "the lock is invalid: expected 'int', got 'str' at size",
    )
    error = refused(TEXT.replace('"size"', '"sizes"', 1))
    assert error.message == "the lock is invalid: object contains unknown field"


def test_malformed_json_is_reported_with_its_location() -> None:
    error = refused(TEXT.replace('"format": 2', '"format": one'))
    assert (error.where, error.message) == ("r.lock:3:13", "the lock is not JSON: invalid character")


def test_requirements_ignore_order_and_locations(tmp_path: Path) -> None:
    recipe = load(tmp_path, "packages: [aa, bb, -cc, ./x.deb]\narchs: [amd64, arm64]\n")
    reordered_recipe = load(
        tmp_path,
        "# moved\nfiles: [{text: a, to: /a}]\narchs: [arm64, amd64]\npackages: [./x.deb, -cc, bb, aa]\n",
    )
    assert requirements.requirements_digest(recipe) == requirements.requirements_digest(reordered_recipe)


def test_the_url_of_a_mirror_does_not_make_a_lock_stale(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    assert requirements.requirements_digest(_from(path, "")) == requirements.requirements_digest(
        _from(path, ", mirrors: [https://mirror.example/], snapshots: ['https://a.example/{date}/']")
    )


def _from(path: Path, extra_lines: str) -> Recipe:
    from pumice.recipe.load import load_recipe

    path.write_text(f'name: a\nversion: "1"\nfrom: {{debian: bookworm{extra_lines}}}\n')
    return load_recipe(path)


@pytest.mark.parametrize(
    "text",
    [
        "packages: [aa]",
        "packages: [aa=1]",
        "packages: [-aa]",
        "packages: [./aa.deb]",
        "base: none",
        "recommends: true",
        "archs: [arm64]",
    ],
)
def test_requirements_depend_on_every_key_that_decides_packages(tmp_path: Path, text: str) -> None:
    assert requirements.requirements_digest(load(tmp_path, text)) != requirements.requirements_digest(
        load(tmp_path, "")
    )


@pytest.mark.parametrize(
    "extra_lines",
    [
        ", components: [main, contrib]",
        ", suites: [sid]",
        ", keyrings: [k]",
        ", archives: [{name: t, url: 'https://a.example/', suite: s}]",
    ],
)
def test_requirements_depend_on_the_origin(tmp_path: Path, extra_lines: str) -> None:
    path = tmp_path / "o.yaml"
    assert requirements.requirements_digest(_from(path, "")) != requirements.requirements_digest(
        _from(path, extra_lines)
    )


def test_the_digest_of_requirements_is_stable() -> None:
    """A change of this digest makes every lock in the world stale."""
    recipe = Recipe(name="a", version="1", origin=Origin(debian="bookworm"), packages=(Request(name="bash"),))
    assert (
        requirements.requirements_digest(recipe)
        == "sha256:ed4f01eceb457f3a9b6931dc648d3bdc2bbafcc8a0d2750f50c8e1286b3449b3"
    )


@given(st.integers(0, len(TEXT)), st.integers(0, 20), st.binary(max_size=12))
def test_any_edit_gives_a_lock_or_a_lock_error(start: int, length: int, new: bytes) -> None:
    data = TEXT.encode()
    _read(data[:start] + new + data[start + length :])


@given(
    st.binary(max_size=200)
    | st.integers(1, 50_000).map(lambda n: b"[" * n)
    | st.integers(1, 50_000).map(lambda n: b'{"ids":' * n)
)
def test_any_bytes_give_a_lock_or_a_lock_error(data: bytes) -> None:
    _read(data)


def _read(data: bytes) -> None:
    try:
        parsed_lock = lock_reader.parse_lock(data, "r.lock")
    except LockError as error:
        assert (error.where or "").startswith("r.lock")
    else:
        assert lock_reader.parse_lock(lock.encode_lock(parsed_lock), "r.lock") == parsed_lock


def test_a_lock_records_arguments(tmp_path: Path) -> None:
    with_arguments = msgspec.structs.replace(GOOD, args={"VERSION": "1.2", "A": 'é "quoted"\n'})
    data = lock.encode_lock(with_arguments)
    assert b'  "args": {\n    "A": "\xc3\xa9 \\"quoted\\"\\n",\n    "VERSION": "1.2"\n  },\n' in data
    assert lock_reader.parse_lock(data, "r.lock") == with_arguments


def test_a_lock_without_arguments_has_the_same_bytes_as_before() -> None:
    assert "args" not in TEXT


def test_a_lock_with_a_malformed_argument_is_refused() -> None:
    text = lock.encode_lock(msgspec.structs.replace(GOOD, args={"a-b": "x"})).decode()
    assert refused(text).message == "'a-b' is not an argument's name"
