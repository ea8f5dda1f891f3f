"""The command ``pumice delete``."""

from __future__ import annotations

import pytest

from pumice.cli.main import main
from tests.support.registry import Registry

DIGEST = "sha256:"


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(arguments) == code
    return capsys.readouterr()


Out = pytest.CaptureFixture[str]


def test_a_tag_or_manifest_is_deleted(host: str, registry: Registry, capsys: Out) -> None:
    digest = run(capsys, "push", "example.com/hello:1.0", f"{host}/team/hello")[0].strip()
    run(capsys, "push", "example.com/hello:1.0", f"{host}/team/hello:2")
    assert run(capsys, "delete", f"{host}/team/hello:2")[0] == f"{host}/team/hello:2\n"
    assert registry.tags["team/hello"] == {"1.0": digest}
    run(capsys, "delete", f"docker://{host}/team/hello@{digest}")
    assert registry.manifests == {}
    assert "not found in the registry" in run(capsys, "delete", f"{host}/team/hello:1.0", code=10)[1]


def test_delete_requires_a_tag_or_digest(host: str, registry: Registry, capsys: Out) -> None:
    assert "has neither a tag nor a digest" in run(capsys, "delete", f"{host}/team/hello", code=2)[1]
    assert registry.log == []
