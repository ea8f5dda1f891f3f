"""OpenPGP keys as keys among others."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError, TrustError, UsageError
from pumice.trust import key_files, keys, openpgp, public_keys
from tests.support import archive

PUBLIC = (archive.KEYS / "good.asc").read_bytes()
PRIVATE = (archive.KEYS / "good.secret.asc").read_bytes()
BINARY = openpgp.parse_certificate(PUBLIC).der


def test_a_certificate_is_read_as_a_public_key(tmp_path: Path) -> None:
    certificate = openpgp.parse_certificate(b"Comment: mine\n" + PUBLIC)
    assert (certificate.kind, len(certificate.fingerprint)) == ("openpgp", 40)
    assert certificate.user_id.endswith("<good@pumice.invalid>")
    assert openpgp.parse_certificate(BINARY) == certificate == openpgp.parse_certificate(certificate.pem())
    (tmp_path / "key").write_bytes(BINARY)
    assert public_keys.read_public_key(tmp_path / "key") == certificate
    assert not keys.verify_signature(certificate, b"anything", b"anything")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (PRIVATE, "the file is a private key"),
        (PUBLIC + PUBLIC, "several OpenPGP keys"),
        (BINARY + BINARY, "several OpenPGP keys"),
        (PUBLIC[:200], "malformed"),
        (BINARY[:20], "malformed"),
    ],
)
def test_data_that_is_not_a_certificate_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        openpgp.parse_certificate(data)


def test_an_openpgp_key_pair_round_trips(tmp_path: Path) -> None:
    key = openpgp.generate_key("Ada Lovelace <ada@example.com>")
    private, public = openpgp.write_pair(tmp_path / "ada", key, b"secret")
    assert (private.stat().st_mode & 0o777, public.stat().st_mode & 0o777) == (0o600, 0o644)
    assert b"secret" not in private.read_bytes()
    reread_key = openpgp.SecretKey(private.read_bytes(), private)
    assert (reread_key.is_protected, reread_key.certificate) == (True, public_keys.read_public_key(public))
    assert repr(reread_key) == f"<OpenPGP key {key.certificate.fingerprint}>"
    reread_key.unlock(lambda: b"secret")
    for passphrase in (b"", b"Secret", b"\xff"):
        with pytest.raises(TrustError, match="wrong passphrase"):
            reread_key.unlock(partial(bytes, passphrase))
    with pytest.raises(PumiceError, match="the file exists"):
        openpgp.write_pair(tmp_path / "ada", key, b"other")


def test_importing_protects_an_unprotected_key(tmp_path: Path) -> None:
    def never() -> bytes:
        raise AssertionError("somebody was asked")

    source = tmp_path / "from-gpg.asc"
    source.write_bytes(PRIVATE)
    openpgp.SecretKey(PRIVATE, source).unlock(never)
    imported_key = key_files.import_key(source, tmp_path / "copy", never, lambda: b"new")
    copy = tmp_path / "copy.key"
    assert openpgp.SecretKey(copy.read_bytes(), copy).is_protected
    assert public_keys.read_public_key(tmp_path / "copy.pub") == imported_key


@pytest.mark.parametrize("user", ["", "  ", "a\nb", "x" * 201, "tab\there", "\x1b[31mred"])
def test_invalid_user_ids_are_refused(user: str) -> None:
    with pytest.raises(UsageError, match="invalid user ID"):
        openpgp.generate_key(user)


@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda data: PUBLIC[:150] + data))
def test_any_bytes_are_a_key_or_an_error(data: bytes) -> None:
    for read in (
        openpgp.parse_certificate,
        keys.parse_pem_public_key,
        lambda data: openpgp.SecretKey(data, Path("x")),
    ):
        try:
            read(data)
        except PumiceError:
            pass


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(BINARY) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_keys_are_keys_or_errors(changes: list[tuple[int, int]]) -> None:
    data = bytearray(BINARY)
    for position, value in changes:
        data[position] = value
    try:
        openpgp.make_keyring([openpgp.parse_certificate(bytes(data))])
    except PumiceError:
        pass
