from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError
from pumice.formats import jks
from tests.support.certificates import certificate
from tests.support.peers import need

if TYPE_CHECKING:
    from pathlib import Path


@given(st.dictionaries(st.text(max_size=20), st.binary(max_size=50), max_size=5))
def test_key_stores_round_trip(certificates: dict[str, bytes]) -> None:
    store = jks.encode_key_store(certificates, "changeit")
    assert jks.read_key_store(store, "changeit") == certificates
    assert jks.encode_key_store(dict(reversed(certificates.items())), "changeit") == store


def test_refuses_a_wrong_password_and_any_damage() -> None:
    store = jks.encode_key_store({"a": b"x"}, "changeit")
    with pytest.raises(FormatError, match="password"):
        jks.read_key_store(store, "other")
    with pytest.raises(FormatError):
        jks.read_key_store(store[:-1] + b"\0", "changeit")


@given(st.binary(max_size=200))
def test_any_bytes_return_certificates_or_raise_format_error(data: bytes) -> None:
    body = b"\xfe\xed\xfe\xed\0\0\0\x02" + data
    for candidate in (data, body, body + jks._compute_digest(body, "p")):
        try:
            jks.read_key_store(candidate, "p")
        except PumiceError:
            continue


def test_keytool_lists_the_certificates(tmp_path: Path) -> None:
    store = tmp_path / "cacerts"
    store.write_bytes(jks.encode_key_store({"debian:főtanúsítvány.pem": certificate("one")}, "changeit"))
    command = [need("keytool"), "-list", "-keystore", str(store), "-storepass", "changeit"]
    completed_process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert completed_process.returncode == 0, completed_process.stdout + completed_process.stderr
    assert "1 entry" in completed_process.stdout
