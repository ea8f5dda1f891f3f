"""The command ``pumice resolve``."""

from __future__ import annotations

import pytest

from pumice.cli.main import main
from tests.support.registry import Registry

DIGEST = "sha256:"


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(arguments) == code
    return capsys.readouterr()


Out = pytest.CaptureFixture[str]


def test_resolve_prints_the_digest_of_a_reference(host: str, registry: Registry, capsys: Out) -> None:
    digest, _ = run(capsys, "push", "example.com/hello:1.0", f"{host}/team/hello")
    assert run(capsys, "resolve", f"docker://{host}/team/hello:1.0")[0] == digest
    assert run(capsys, "resolve", "example.com/hello:1.0")[0] == digest
    out = run(capsys, "resolve", "--full", f"docker://{host}/team/hello:1.0")[0]
    assert out == f"{host}/team/hello@{digest}"
    assert run(capsys, "resolve", f"docker://{out.strip()}", "--platform", "linux/amd64")[0] == digest
    assert "--full requires an image" in run(capsys, "resolve", "--full", "example.com/hello:1.0", code=2)[1]


def test_an_image_is_inspected_in_its_registry(host: str, capsys: Out) -> None:
    digest, _ = run(capsys, "push", "example.com/hello:1.0", f"{host}/team/hello")
    assert digest.strip() in run(capsys, "inspect", f"docker://{host}/team/hello:1.0")[0]
    assert "etc/motd" in run(capsys, "files", f"docker://{host}/team/hello:1.0")[0]
