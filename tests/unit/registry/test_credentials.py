"""Logins in files and credential helpers are found, saved and deleted."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError
from pumice.registry import credentials, login_store
from pumice.registry.credentials import AuthFiles, Login
from pumice.registry.reference import Repository, parse_repository

HELPER = """#!/bin/sh
verb=$1; read -r key
printf '%s %s\\n' "$verb" "$key" >> "$HELPER_LOG"
case "$verb:$key" in
get:helped.example) echo '{"Username": "h", "Secret": "s"}';;
get:helped.example/team) echo '{"Username": "<token>", "Secret": "refresh"}';;
get:broken.example) echo 'secret things' >&2; exit 3;;
get:*) echo 'credentials not found in native keychain'; exit 1;;
esac
"""


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "docker-credential-test"
    program.write_text(HELPER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("HELPER_LOG", str(tmp_path / "helper.log"))
    return {"HOME": str(tmp_path)}


def basic(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def write(environ: dict[str, str], name: str, content: Any) -> Path:
    path = Path(environ["HOME"], name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def find(environ: dict[str, str], name: str) -> Login | None:
    return AuthFiles(environ).find_login(parse_repository(name))


def test_the_longest_matching_key_is_used(environ: dict[str, str]) -> None:
    auths = {
        "a.example": basic("host", "1"),
        "a.example/team": basic("team", "2"),
        "a.example/team/app": basic("app", "3"),
        "b.example:5000": basic("port", "4"),
    }
    write(environ, ".docker/config.json", {"auths": auths})
    for name, user in [
        ("a.example/x", "host"),
        ("a.example/teams/x", "host"),
        ("a.example/team/x", "team"),
        ("a.example/team/app", "app"),
        ("a.example/team/app/x", "app"),
        ("b.example:5000/x", "port"),
    ]:
        login = find(environ, name)
        assert login is not None
        assert login.username == user
    assert find(environ, "b.example/x") is None
    assert find(environ, "a.example.evil.example/x") is None


def test_legacy_keys_are_normalized(environ: dict[str, str]) -> None:
    auths = {
        "https://index." + "docker.io/v1/": basic("hub", "1"),
        "https://a.example/v2/": {"username": "u", "password": "p:q"},
        "c.example": {"identitytoken": "refresh"},
        "d.example": {"registrytoken": "bearer"},
        "e.example": {},
    }
    write(environ, ".docker/config.json", {"auths": auths})
    assert find(environ, "debian") == Login("hub", "1")
    assert find(environ, "a.example/x") == Login("u", "p:q")
    assert find(environ, "c.example/x") == Login(identity_token="refresh")
    assert find(environ, "d.example/x") == Login(registry_token="bearer")
    assert find(environ, "e.example/x") is None


def test_files_are_searched_in_order(environ: dict[str, str]) -> None:
    write(
        environ,
        ".docker/config.json",
        {"auths": {"a.example": basic("d", "1"), "b.example": basic("d", "1")}},
    )
    write(environ, ".config/containers/auth.json", {"auths": {"a.example": basic("c", "1")}})
    write(environ, "run/containers/auth.json", {"auths": {"c.example": basic("r", "1")}})
    environ["XDG_RUNTIME_DIR"] = environ["HOME"] + "/run"
    assert [getattr(find(environ, f"{host}.example/x"), "username", "") for host in "abc"] == ["c", "d", "r"]
    chosen = write(environ, "chosen.json", {"auths": {}})
    environ["REGISTRY_AUTH_FILE"] = str(chosen)
    assert find(environ, "a.example/x") is None


def test_credential_helpers_are_used(environ: dict[str, str]) -> None:
    helpers = {"helped.example": "test", "helped.example/team": "test", "broken.example": "test"}
    write(environ, ".docker/config.json", {"credHelpers": helpers, "auths": {"x.example": basic("x", "1")}})
    assert find(environ, "helped.example/x") == Login("h", "s")
    assert find(environ, "helped.example/team/x") == Login(identity_token="refresh")
    assert find(environ, "x.example/x") == Login("x", "1")
    with pytest.raises(PumiceError, match="docker-credential-test exited with status 3") as raised:
        find(environ, "broken.example/x")
    assert "secret" not in str(raised.value)
    write(environ, ".docker/config.json", {"credsStore": "test"})
    assert find(environ, "helped.example/x") == Login("h", "s")
    assert find(environ, "other.example/x") is None
    write(environ, ".docker/config.json", {"credsStore": "absent"})
    with pytest.raises(PumiceError, match="cannot be run"):
        find(environ, "other.example/x")


@pytest.mark.parametrize("name", ["../x", "a/b", "-x", "", "x\n"])
def test_a_helper_name_is_not_a_path(environ: dict[str, str], name: str) -> None:
    write(environ, ".docker/config.json", {"credHelpers": {"a.example": name}})
    if name:
        with pytest.raises(FormatError):
            find(environ, "a.example/x")
    else:
        assert find(environ, "a.example/x") is None


def test_passwords_are_not_part_of_the_repr() -> None:
    login = Login("user", "secret", "secret", "secret")
    assert "secret" not in f"{login} {login!r} {[login]}"


def test_a_login_is_saved_read_and_deleted(environ: dict[str, str]) -> None:
    path = write(
        environ, ".config/containers/auth.json", {"more": {"kept": 1}, "auths": {"b.example": {"x": 1}}}
    )
    target = login_store.parse_login_target("a.example:5000/team")
    assert login_store.save_login(target, Login("me", "pass:word"), environ) == str(path)
    assert find(environ, "a.example:5000/team/app") == Login("me", "pass:word")
    assert find(environ, "a.example:5000/app") is None
    content = json.loads(path.read_text())
    assert content["more"] == {"kept": 1}
    assert content["auths"]["b.example"] == {"x": 1}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert login_store.delete_login(target, environ) == [str(path)]
    assert find(environ, "a.example:5000/team/app") is None
    assert login_store.delete_login(target, environ) == []


def test_the_first_login_creates_a_private_file(environ: dict[str, str]) -> None:
    saved_in = Path(
        login_store.save_login(login_store.parse_login_target("docker.io"), Login("me", "x"), environ)
    )
    assert saved_in == Path(environ["HOME"], ".config/containers/auth.json")
    assert stat.S_IMODE(saved_in.stat().st_mode) == 0o600
    assert find(environ, "debian") == Login("me", "x")


def test_a_login_is_saved_with_its_helper(environ: dict[str, str]) -> None:
    path = write(environ, ".docker/config.json", {"credHelpers": {"helped.example": "test"}})
    old_content = path.read_text()
    assert (
        login_store.save_login(login_store.parse_login_target("helped.example"), Login("me", "x"), environ)
        == "docker-credential-test"
    )
    assert path.read_text() == old_content
    assert login_store.delete_login(login_store.parse_login_target("helped.example"), environ) == [
        "docker-credential-test"
    ]
    log = Path(environ["HOME"], "helper.log").read_text()
    assert '"ServerURL":"helped.example"' in log
    assert "erase helped.example" in log


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
_files = st.fixed_dictionaries(
    {},
    optional={
        "auths": _json
        | st.dictionaries(st.sampled_from(["a.example", "https://a.example/v1/", "%", ""]), _json),
        "credHelpers": _json,
        "other": _json,
    },
)


@given(st.binary(max_size=60) | _files.map(lambda value: json.dumps(value).encode()))
def test_any_file_has_a_login_or_an_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("auth") / "auth.json"
    path.write_bytes(data)
    try:
        login = credentials.read_auth_file(path).find_login(Repository("a.example", "team/app"))
    except PumiceError:
        return
    assert login is None or isinstance(login, Login)


@pytest.mark.parametrize(
    "text",
    [
        "bWU6c2VjcmV0IHBhc3N3b3JkIG9m\nIHNvbWUgbGVuZ3Ro",
        "  bWU6c2VjcmV0IHBhc3N3b3JkIG9m\r\n  IHNvbWUgbGVuZ3Ro\r\n",
        "bWU6c2VjcmV0IHBhc3N3b3JkIG9mIHNvbWUgbGVuZ3Ro",
    ],
)
def test_a_login_may_have_line_breaks(environ: dict[str, str], text: str) -> None:
    write(environ, ".docker/config.json", {"auths": {"a.example": {"auth": text}}})
    assert find(environ, "a.example/x") == Login("me", "secret password of some length")


def test_a_login_without_padding_and_a_file_with_a_byte_order_mark(environ: dict[str, str]) -> None:
    entry = {"auth": base64.b64encode(b"me:pass").decode().rstrip("=")}
    path = write(environ, ".docker/config.json", "")
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"auths": {"a.example": entry}}).encode())
    assert find(environ, "a.example/x") == Login("me", "pass")
