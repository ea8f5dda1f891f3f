"""Other tools read what we push, and push what we pull, through Debian's registry."""

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
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pumice(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0, capsys.readouterr().err
    return capsys.readouterr().out.strip()


def skopeo(*arguments: str) -> str:
    return run("skopeo", "--insecure-policy", *arguments)


def test_skopeo_reads_what_we_push(host: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    digest = pumice(capsys, "push", "example.com/hello:1.0", f"{host}/a/hello")
    place = f"docker://{host}/a/hello:1.0"
    assert json.loads(skopeo("inspect", "--tls-verify=false", place))["Digest"] == digest
    skopeo("copy", "--src-tls-verify=false", place, f"oci:{tmp_path}/layout:1.0")
    assert pumice(capsys, "resolve", f"oci:{tmp_path}/layout:1.0") == digest


def test_we_read_what_skopeo_pushes(host: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pumice(capsys, "copy", "example.com/hello:1.0", f"oci:{tmp_path}/layout:1.0")
    place = f"docker://{host}/b/hello:1.0"
    skopeo("copy", "--dest-tls-verify=false", f"oci:{tmp_path}/layout:1.0", place)
    digest = json.loads(skopeo("inspect", "--tls-verify=false", place))["Digest"]
    assert pumice(capsys, "pull", place, ANYBODY) == digest
    skopeo(
        "copy", "--dest-tls-verify=false", "--format=v2s2", f"oci:{tmp_path}/layout:1.0", f"{place}-docker"
    )
    digest = json.loads(skopeo("inspect", "--tls-verify=false", f"{place}-docker"))["Digest"]
    assert pumice(capsys, "pull", f"{place}-docker", ANYBODY) == digest
    assert "etc/motd" in pumice(capsys, "files", f"{host}/b/hello:1.0-docker")


def test_crane_reads_and_writes(host: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
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
