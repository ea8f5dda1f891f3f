"""The command ``pumice push``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pumice.cli.main import main
from pumice.store.home import Home
from tests.support import images
from tests.support.registry import Registry

DIGEST = "sha256:"


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(arguments) == code
    return capsys.readouterr()


Out = pytest.CaptureFixture[str]


def test_an_image_is_pushed_to_the_given_reference(host: str, registry: Registry, capsys: Out) -> None:
    out, err = run(capsys, "push", "example.com/hello:1.0", f"{host}/team/hello")
    assert registry.tags["team/hello"] == {"1.0": out.strip()}
    assert "2 sent" in err
    out, err = run(capsys, "push", "example.com/hello:1.0", f"docker://{host}/team/hello:again")
    assert registry.tags["team/hello"]["again"] == out.strip()
    assert "2 already present" in err


def test_an_image_is_pushed_to_its_own_name(
    host: str, registry: Registry, capsys: Out, tmp_path: Path
) -> None:
    with Home(tmp_path / "store") as home:
        images.make(home, [{"a": "b"}], name=f"{host}/team/named:2")
    run(capsys, "push", f"{host}/team/named:2")
    assert "2" in registry.tags["team/named"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("hello",), 2, "does not name a registry"),
        (("oci:dir",), 2, "does not name a registry"),
        (("absent.example/x:1", "127.0.0.1:1/x"), 10, "absent.example/x:1 is not in the local store"),
        (("example.com/hello:1.0", "127.0.0.1:1/X"), 2, "invalid repository name"),
    ],
)
def test_push_reports_errors(
    host: str, capsys: Out, arguments: tuple[str, ...], code: int, text: str
) -> None:
    out, err = run(capsys, "push", *arguments, code=code)
    assert out == ""
    assert text in err


def test_a_build_can_push(
    host: str, registry: Registry, capsys: Out, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.world import World

    world = World(tmp_path / "world")
    world.build("-o", f"docker://{host}/team/built:1", "-o", f"oci:{tmp_path}/layout")
    index = json.loads((tmp_path / "layout" / "index.json").read_text())
    assert registry.tags["team/built"] == {"1": index["manifests"][0]["digest"]}


def test_push_sends_nothing_if_signing_fails(
    host: str, registry: Registry, capsys: Out, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUMICE_KEY_PASSPHRASE", "correct horse")
    run(capsys, "key", "generate", "--output", "release")
    run(capsys, "key", "generate", "--openpgp", "Ada <a@example.com>", "--output", "ada")
    push = ("push", "example.com/hello:1.0", f"{host}/team/hello", "--sign")
    for key, code, text in [
        ("release.key", 2, "the image declares no name"),
        ("absent.key", 7, "absent.key"),
        ("ada.key", 2, "OpenPGP"),
    ]:
        assert text in run(capsys, *push, key, code=code)[1]
    assert registry.tags == {}
    stderr = run(capsys, *push, "release.key", "--as", "example.com/hello:1.0")[1]
    assert re.search(r"signed +as example.com/hello:1.0 by [0-9a-f]{16}\b", stderr)
    assert any(tag.endswith(".sig") for tag in registry.tags["team/hello"])
    registry.tags.clear()
    monkeypatch.setenv("PUMICE_KEY_PASSPHRASE", "wrong")
    assert "passphrase" in run(capsys, *push, "release.key", "--as", "example.com/other:1.0", code=7)[1]
