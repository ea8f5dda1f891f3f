"""The command ``pumice publish``."""

from __future__ import annotations

import json
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


def test_an_image_of_the_store_gets_its_name_without_the_host(
    host: str, registry: Registry, capsys: Out, tmp_path: Path
) -> None:
    digest = run(capsys, "resolve", "example.com/hello:1.0")[0].strip()
    out, err = run(
        capsys, "publish", "--oci", "tree", "--url", "https://images.example", "example.com/hello:1.0"
    )
    assert out == f"images.example/hello:1.0@{digest}\n"
    assert "published hello:1.0" in err
    assert json.loads((tmp_path / "tree/v2/hello/tags/list").read_bytes())["tags"] == ["1.0"]
    configuration = (tmp_path / "tree/nginx.conf").read_bytes()
    assert str(tmp_path / "tree").encode() in configuration
    written_at = (tmp_path / "tree/nginx.conf").stat().st_mtime_ns
    out, err = run(capsys, "publish", "--oci", "tree", "example.com/hello:1.0", "--name", "team/app:2")
    assert out == f"team/app:2@{digest}\n"
    assert "0 written" in err
    assert (tmp_path / "tree/nginx.conf").stat().st_mtime_ns == written_at


def test_an_image_of_a_registry_is_published(host: str, capsys: Out, tmp_path: Path) -> None:
    run(capsys, "push", "example.com/hello:1.0", f"{host}/team/hello:1.0")
    out, _ = run(capsys, "publish", "-q", "--oci", "tree", f"docker://{host}/team/hello:1.0")
    assert out.startswith("team/hello:1.0@sha256:")


def test_tags_are_removed_and_what_they_named_is_pruned(host: str, capsys: Out, tmp_path: Path) -> None:
    run(capsys, "publish", "--oci", "tree", "example.com/hello:1.0")
    _, err = run(capsys, "publish", "--oci", "tree", "--untag", "hello:1.0", "--prune")
    assert "0 files (0 B)" in err
    assert (tmp_path / "tree/v2/hello/blobs").exists()
    _, err = run(capsys, "publish", "--oci", "tree", "--prune", "--grace-period", "0")
    assert "0 in their grace period" in err
    assert not (tmp_path / "tree/v2/hello").exists()


def test_json_progress_has_what_was_written(host: str, capsys: Out, tmp_path: Path) -> None:
    _, err = run(capsys, "publish", "--progress=json", "--oci", "tree", "example.com/hello:1.0")
    event = json.loads(err.splitlines()[-1])
    assert event["event"] == "published"
    assert event["images"] == ["hello:1.0"]
    assert event["written"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("example.com/hello:1.0",), 2, "no place to publish to"),
        (("--oci", "tree"), 2, "nothing to publish"),
        (("--oci", "tree", "none:1.0"), 10, "none:1.0 is not in the local store"),
        (("--oci", "none/tree", "example.com/hello:1.0"), 10, "parent directory does not exist"),
        (("--oci", "file", "example.com/hello:1.0"), 10, "a file exists where"),
        (("--oci", "tree", "--url", "https://a.example/b", "example.com/hello:1.0"), 2, "has a path"),
        (
            ("--oci", "tree", "--url", "ftp://a.example", "example.com/hello:1.0"),
            2,
            "not the URL of a registry",
        ),
        (("--oci", "tree", "--url", "https://a]", "example.com/hello:1.0"), 2, "not the URL of a registry"),
        (("--oci", "tree", "--name", "tags/x:1", "example.com/hello:1.0"), 2, "component 'tags'"),
        (("--oci", "tree", "--name", "../x:1", "example.com/hello:1.0"), 2, "not the name of a repository"),
        (
            ("--oci", "tree", "--name", "x:1", "example.com/hello:1.0", "example.com/hello:1.0"),
            2,
            "one image",
        ),
        (("--oci", "tree", "--untag", "x:1"), 10, "no such tag"),
        (("--oci", "tree", "--untag", "x"), 2, "'x' has no tag"),
        (("--oci", 'tr"ee', "example.com/hello:1.0"), 2, "nginx cannot serve"),
        (("--oci", "tree", "--grace-period", "-1", "--prune"), 2, "grace-period"),
    ],
)
def test_mistakes_are_explained_and_leave_nothing(
    host: str,
    capsys: Out,
    tmp_path: Path,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    (tmp_path / "file").write_text("x")
    err = run(capsys, "publish", *arguments, code=code)[1]
    assert message in err
    assert "hint: " in err or code == 10
    assert not (tmp_path / "tree/v2").exists()


def test_a_damaged_manifest_is_named_and_nothing_is_pruned(host: str, capsys: Out, tmp_path: Path) -> None:
    run(capsys, "publish", "--oci", "tree", "example.com/hello:1.0")
    tag = next((tmp_path / "tree/v2/hello/manifests").glob("1.0.*"))
    tag.write_text("{")
    err = run(capsys, "publish", "--oci", "tree", "--prune", "--grace-period", "0", code=10)[1]
    assert "v2/hello/manifests/1.0: a manifest of the registry is damaged" in err
    assert len(list((tmp_path / "tree/v2/hello/blobs").iterdir())) == 2
    run(capsys, "publish", "--oci", "tree", "example.com/hello:1.0")
    with Home(tmp_path / "store") as home:
        images.make(home, [{"etc/motd": "hello again"}], name="example.com/hello:1.1")
    run(capsys, "publish", "--oci", "tree", "--prune", "--grace-period", "0", "example.com/hello:1.1")
