"""Other tools pull images that Pumice pushed to Debian's docker-registry, and the reverse."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.cli.main import main
from pumice.store.home import Home
from tests.support import images
from tests.support import registry as support
from tests.support.peers import need

pytestmark = pytest.mark.peer("docker-registry", "skopeo")
ANYBODY = "--insecure-options=image"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    (tmp_path / "auth.json").write_text("{}")
    with Home(tmp_path / "store") as home:
        images.make(home, [{"etc/motd": "hello"}, {"big": "x" * 3_000_000}], name="example.com/hello:1.0")
    with support.debian(tmp_path) as where:
        yield where


def run(*arguments: str) -> str:
    process = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)
    assert process.returncode == 0, process.stderr
    return process.stdout


def pumice(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0, capsys.readouterr().err
    return capsys.readouterr().out.strip()


def skopeo(*arguments: str) -> str:
    return run("skopeo", "--insecure-policy", *arguments)


def test_skopeo_reads_a_pushed_image(host: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    digest = pumice(capsys, "push", "example.com/hello:1.0", f"{host}/a/hello")
    location = f"docker://{host}/a/hello:1.0"
    assert json.loads(skopeo("inspect", "--tls-verify=false", location))["Digest"] == digest
    skopeo("copy", "--src-tls-verify=false", location, f"oci:{tmp_path}/layout:1.0")
    assert pumice(capsys, "resolve", f"oci:{tmp_path}/layout:1.0") == digest


def test_pumice_reads_an_image_that_skopeo_pushed(
    host: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pumice(capsys, "copy", "example.com/hello:1.0", f"oci:{tmp_path}/layout:1.0")
    location = f"docker://{host}/b/hello:1.0"
    skopeo("copy", "--dest-tls-verify=false", f"oci:{tmp_path}/layout:1.0", location)
    digest = json.loads(skopeo("inspect", "--tls-verify=false", location))["Digest"]
    assert pumice(capsys, "pull", location, ANYBODY) == digest
    skopeo(
        "copy", "--dest-tls-verify=false", "--format=v2s2", f"oci:{tmp_path}/layout:1.0", f"{location}-docker"
    )
    digest = json.loads(skopeo("inspect", "--tls-verify=false", f"{location}-docker"))["Digest"]
    assert pumice(capsys, "pull", f"{location}-docker", ANYBODY) == digest
    assert "etc/motd" in pumice(capsys, "files", f"{host}/b/hello:1.0-docker")


def test_crane_pulls_and_pushes(host: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    crane = need("crane")
    digest = pumice(capsys, "push", "example.com/hello:1.0", f"{host}/c/hello")
    assert run(crane, "digest", "--insecure", f"{host}/c/hello:1.0").strip() == digest
    run(crane, "validate", "--insecure", "--remote", f"{host}/c/hello:1.0")
    run(crane, "copy", "--insecure", f"{host}/c/hello:1.0", f"{host}/d/hello:2")
    assert pumice(capsys, "pull", f"{host}/d/hello:2", ANYBODY) == digest
    assert (
        run(crane, "ls", "--insecure", f"{host}/c/hello").split()
        == pumice(capsys, "tags", f"{host}/c/hello").split()
    )
