"""``pumice blob``."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from pumice.cli.main import main
from tests.support.registry import Registry

Out = pytest.CaptureFixture[bytes]


def run(capsysbinary: Out, *arguments: str, code: int = 0) -> tuple[bytes, str]:
    assert main(arguments) == code
    out, err = capsysbinary.readouterr()
    return out, err.decode()


def layer_digest(capsysbinary: Out) -> str:
    manifest = json.loads(run(capsysbinary, "manifest", "example.com/hello:1.0")[0])
    digest: str = manifest["layers"][0]["digest"]
    return digest


def test_a_layer_is_printed_from_everywhere(host: str, capsysbinary: Out) -> None:
    digest = layer_digest(capsysbinary)
    run(capsysbinary, "push", "example.com/hello:1.0", f"{host}/hello")
    run(capsysbinary, "copy", "example.com/hello:1.0", "oci:layout")
    for location in ("", "example.com/hello:1.0@", "oci:layout@", f"docker://{host}/hello@"):
        out, err = run(capsysbinary, "blob", f"{location}{digest}")
        assert (f"sha256:{hashlib.sha256(out).hexdigest()}", err) == (digest, "")
        assert b"hello" in gzip.decompress(out)


def test_wrong_content_is_an_error(host: str, registry: Registry, capsysbinary: Out, tmp_path: Path) -> None:
    digest = layer_digest(capsysbinary)
    run(capsysbinary, "push", "example.com/hello:1.0", f"{host}/hello")
    run(capsysbinary, "copy", "example.com/hello:1.0", "oci:layout")
    registry.lies = b"lies"
    run(capsysbinary, "blob", f"docker://{host}/hello@{digest}", code=7)
    (tmp_path / "layout" / "blobs" / digest.replace(":", "/")).write_bytes(b"lies")
    run(capsysbinary, "blob", f"oci:layout@{digest}", code=7)


def test_what_goes_wrong(host: str, capsysbinary: Out) -> None:
    absent = f"sha256:{'0' * 64}"
    assert run(capsysbinary, "blob", absent, code=9)[0] == b""
    assert run(capsysbinary, "blob", "example.com/hello:1.0", code=2)[1] == (
        "error: 'example.com/hello:1.0' has no digest\n"
        "  hint: write LOCATION@sha256:HEX, or only sha256:HEX\n"
    )
