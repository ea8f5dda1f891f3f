from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError
from pumice.formats import x509
from tests.support.certificates import certificate, pem
from tests.support.peers import need

NAMES = ["Example CA", "  Two   Spaces\tTab ", "ÁRVÍZTŰRŐ tükörfúrógép", "a", "UPPER lower 123"]


@pytest.mark.parametrize("name", NAMES)
def test_subject_hash_is_the_one_of_openssl(name: str) -> None:
    der = certificate(name)
    command = [need("openssl"), "x509", "-inform", "DER", "-noout", "-subject_hash"]
    completed_process = subprocess.run(command, input=der, capture_output=True, check=True)
    assert x509.compute_subject_hash(der) == completed_process.stdout.decode().strip()


def test_case_white_space_and_string_type_do_not_matter() -> None:
    first, second = certificate("Example CA"), certificate("EXAMPLE   ca", printable=True)
    assert first != second
    assert x509.compute_subject_hash(first) == x509.compute_subject_hash(second)


def test_reads_pem_files_with_any_number_of_certificates() -> None:
    text = b"some text\n" + pem("one") + b"\n" + pem("two")
    assert x509.read_pem(text) == [certificate("one"), certificate("two")]
    assert x509.read_pem(b"nothing") == []
    with pytest.raises(FormatError, match="base64"):
        x509.read_pem(b"-----BEGIN CERTIFICATE-----\nabcde\n-----END CERTIFICATE-----\n")


@given(st.data())
def test_any_bytes_return_a_hash_or_raise_format_error(data: st.DataObject) -> None:
    der = bytearray(certificate("one"))
    for _ in range(data.draw(st.integers(0, 6))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    for candidate in (bytes(der[: data.draw(st.integers(0, len(der)))]), data.draw(st.binary(max_size=60))):
        try:
            x509.compute_subject_hash(candidate)
        except PumiceError:
            continue
