"""``pumice config``."""

from __future__ import annotations

import hashlib
import json

import pytest

from pumice.cli.main import main
from tests.support import handmade, locations
from tests.support.handmade import AMD64, ARM64, ImageContents, file

Out = pytest.CaptureFixture[bytes]


def run(capsysbinary: Out, *arguments: str, code: int = 0) -> tuple[bytes, str]:
    assert main(arguments) == code
    out, err = capsysbinary.readouterr()
    return out, err.decode()


def test_the_bytes_are_those_that_the_manifest_names(host: str, capsysbinary: Out) -> None:
    run(capsysbinary, "push", "example.com/hello:1.0", f"{host}/hello")
    for reference in ("example.com/hello:1.0", f"docker://{host}/hello:1.0"):
        manifest = json.loads(run(capsysbinary, "manifest", reference)[0])
        out, err = run(capsysbinary, "config", reference)
        assert (f"sha256:{hashlib.sha256(out).hexdigest()}", err) == (manifest["config"]["digest"], "")


def test_the_platform_is_chosen(host: str, capsysbinary: Out) -> None:
    arm = ImageContents([[file("arm")]], compression="plain")
    locations.write(handmade.index({AMD64: handmade.small(), ARM64: arm}), "oci:two", version="1.0")
    config = json.loads(run(capsysbinary, "config", "oci:two", "--platform", "linux/arm64")[0])
    assert config["architecture"] == "arm64"
