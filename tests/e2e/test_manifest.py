"""``pumice manifest``."""

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


def test_the_bytes_are_those_of_the_digest(host: str, capsysbinary: Out) -> None:
    digest = run(capsysbinary, "resolve", "example.com/hello:1.0")[0].decode().strip()
    run(capsysbinary, "copy", "example.com/hello:1.0", "oci:layout")
    run(capsysbinary, "push", "example.com/hello:1.0", f"{host}/hello")
    for reference in ("example.com/hello:1.0", "oci:layout", f"docker://{host}/hello:1.0", digest):
        out, err = run(capsysbinary, "manifest", reference)
        assert (f"sha256:{hashlib.sha256(out).hexdigest()}", err) == (digest, "")


def test_of_an_index_one_platform_can_be_chosen(host: str, capsysbinary: Out) -> None:
    arm = ImageContents([[file("arm")]], compression="plain")
    locations.write(handmade.index({AMD64: handmade.small(), ARM64: arm}), "oci:two", version="1.0")
    index = json.loads(run(capsysbinary, "manifest", "oci:two")[0])
    assert len(index["manifests"]) == 2
    out, _ = run(capsysbinary, "manifest", "oci:two", "--platform", "linux/arm64")
    assert f"sha256:{hashlib.sha256(out).hexdigest()}" == index["manifests"][1]["digest"]


def test_an_absent_image(host: str, capsysbinary: Out) -> None:
    assert run(capsysbinary, "manifest", "none:1", code=10)[0] == b""
