"""The command ``pumice copy``."""

from __future__ import annotations

from pathlib import Path

import pytest

from pumice.cli.main import main
from tests.support.registry import Registry

DIGEST = "sha256:"


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(arguments) == code
    return capsys.readouterr()


Out = pytest.CaptureFixture[str]


def test_copies_between_all_transports_keep_the_digest(
    host: str, registry: Registry, capsys: Out, tmp_path: Path
) -> None:
    digest, _ = run(capsys, "copy", "example.com/hello:1.0", f"docker://{host}/a/hello")
    for source, target in [
        (f"docker://{host}/a/hello:1.0", f"docker://{host}/b/hello"),
        (f"docker://{host}/b/hello:1.0", "oci:layout"),
        ("oci:layout", "oci-archive:archive.tar"),
        ("oci-archive:archive.tar", f"docker://{host}/c/hello"),
        (f"docker://{host}/c/hello:1.0", "store:example.com/back"),
        ("example.com/back:1.0", "docker-archive:docker.tar"),
    ]:
        insecure = ["--insecure-options=image"] if target.startswith("store:") else []
        assert run(capsys, "copy", source, target, *insecure)[0] == digest
    assert (tmp_path / "docker.tar").is_file()


def test_copy_reports_invalid_arguments(host: str, capsys: Out) -> None:
    assert "has no transport" in run(capsys, "copy", "example.com/hello:1.0", "there", code=2)[1]
    assert "is missing" in run(capsys, "copy", "example.com/hello:1.0", code=2)[1]
