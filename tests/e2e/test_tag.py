"""``pumice tag``."""

from __future__ import annotations

from pathlib import Path

import pytest

from pumice.cli.main import main
from pumice.store.home import Home
from tests.support import images
from tests.support.registry import Registry

Out = pytest.CaptureFixture[str]


def run(capsys: Out, *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(arguments) == code
    return capsys.readouterr()


def names(tmp_path: Path) -> dict[str, str]:
    with Home(tmp_path / "store") as home:
        return {name: root.digest for name, root in home.refs.all().items()}


def test_an_image_in_the_store_gets_more_names(host: str, capsys: Out, tmp_path: Path) -> None:
    assert run(capsys, "tag", "example.com/hello:1.0", "example.com/hello:stable", "short") == ("", "")
    stored = names(tmp_path)
    assert list(stored) == ["example.com/hello:1.0", "example.com/hello:stable", "short:latest"]
    assert len(set(stored.values())) == 1


def test_a_name_moves_to_another_image(host: str, capsys: Out, tmp_path: Path) -> None:
    with Home(tmp_path / "store") as home:
        images.make(home, [{"etc/motd": "other"}], name="example.com/other:1.0")
    run(capsys, "tag", "example.com/other:1.0", "store:example.com/hello:1.0")
    assert len(set(names(tmp_path).values())) == 1


def test_an_image_in_a_registry_gets_more_tags(host: str, registry: Registry, capsys: Out) -> None:
    digest = run(capsys, "push", "example.com/hello:1.0", f"{host}/team/hello")[0].strip()
    source = f"docker://{host}/team/hello:1.0"
    registry.log.clear()
    assert run(capsys, "tag", source, "stable", f"docker://{host}/team/hello:2") == ("", "")
    assert registry.tags["team/hello"] == {"1.0": digest, "stable": digest, "2": digest}
    assert registry.logged_paths("POST") == []
    run(capsys, "tag", f"docker://{host}/team/hello@{digest}", "3")
    assert registry.tags["team/hello"]["3"] == digest


@pytest.mark.parametrize(
    "name", ["UPPER", "a:b:c", "", "a/../b", "docker://example.com/a:1", "sha256:", "\x1b"]
)
def test_nothing_is_tagged_if_one_name_is_wrong(host: str, capsys: Out, tmp_path: Path, name: str) -> None:
    out, err = run(capsys, "tag", "example.com/hello:1.0", "fine", name, code=2)
    assert (out, len(err.splitlines())) == ("", 2)
    assert list(names(tmp_path)) == ["example.com/hello:1.0"]


def test_what_goes_wrong(host: str, capsys: Out) -> None:
    assert "none:1 is not in the local store" in run(capsys, "tag", "none:1", "x", code=10)[1]
    assert run(capsys, "tag", f"docker://{host}/a/b:1", f"{host}/c/d:2", code=2)[1] == (
        f"error: '{host}/c/d:2' is not a tag of {host}/a/b\n"
        f"  hint: copy the image: pumice copy docker://{host}/a/b:1 docker://{host}/c/d:2\n"
    )
    assert run(capsys, "tag", "oci:layout", "x", code=2)[1] == (
        "error: oci:layout: cannot add a name to an image in oci:\n"
        "  hint: copy it with 'pumice copy', with the new name as destination\n"
    )
