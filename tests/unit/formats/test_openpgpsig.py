"""Detached signatures of files: which count, and that none hides another."""

from __future__ import annotations

from pathlib import Path

import pysequoia
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumice.clock import SystemClock
from pumice.errors import PumiceError, TrustError
from pumice.formats import openpgp, openpgpsig
from pumice.formats.openpgpsig import Signature
from tests.support import archive, gnupg

DATA = b"an archive"
MALFORMED = b"-----BEGIN PGP SIGNATURE-----\n\nbm90aGluZw==\n-----END PGP SIGNATURE-----\n"
GOOD = archive.detached(DATA, "good")
STRANGER = archive.detached(DATA, "other")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    return path


def verify_file(file: Path, signature: Signature, *trusted: str) -> str:
    ring = openpgp.read_keyring(
        archive.keyring(*(trusted or ("good", "subkey", "expired", "lapsed", "revoked")))
    )
    return openpgpsig.verify_file(file, signature, ring, now=SystemClock().now())


def refused(file: Path, data: bytes, *trusted: str) -> str:
    (signature,) = openpgpsig.read_signatures(data)
    with pytest.raises(TrustError) as caught:
        verify_file(file, signature, *trusted)
    return caught.value.message


@pytest.mark.parametrize("signer", ["good", "subkey"])
def test_verifies_a_valid_signature(file: Path, signer: str) -> None:
    (signature,) = openpgpsig.read_signatures(archive.detached(DATA, signer))
    (certificate,) = openpgp.read_keyring(archive.keyring(signer)).certificates
    assert verify_file(file, signature) == certificate.fingerprint
    assert (signature.problem, openpgpsig.matches_file(file, signature.data)) == ("", True)


@pytest.mark.parametrize(
    ("signer", "message"),
    [
        ("other", "which is not trusted for this name"),
        ("expired", "has expired on 2021-01-01"),
        ("lapsed", "has expired on 2021-01-01"),
        ("revoked", "is revoked"),
    ],
)
def test_refuses_invalid_signatures(file: Path, signer: str, message: str) -> None:
    assert message in refused(file, archive.detached(DATA, signer))


def test_refuses_a_changed_file(file: Path) -> None:
    file.write_bytes(DATA.replace(b"v", b"w"))
    assert "the file is not what" in refused(file, GOOD)
    (signature,) = openpgpsig.read_signatures(GOOD)
    assert not openpgpsig.matches_file(file, signature.data)


@pytest.mark.parametrize(
    "prefix",
    [
        STRANGER,
        MALFORMED,
        b"-----BEGIN PGP SIGNATURE-----\n",
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nnonsense\n",
        MALFORMED.replace(b"bm90", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"),
        archive.keyring("other"),
        b"\xff\xfe noise \0",
    ],
)
def test_malformed_signatures_do_not_hide_a_valid_one(file: Path, prefix: bytes) -> None:
    signatures = [
        signature for signature in openpgpsig.read_signatures(prefix + b"\n" + GOOD) if not signature.problem
    ]
    assert (
        verify_file(file, signatures[-1])
        == openpgp.read_keyring(archive.keyring("good")).certificates[0].fingerprint
    )


def test_reads_several_signatures_in_one_block(file: Path) -> None:
    packets = [signature.data for data in (STRANGER, GOOD) for signature in openpgpsig.read_signatures(data)]
    for data in (openpgpsig.encode_armor(packets), b"".join(packets)):
        first, second = openpgpsig.read_signatures(data)
        assert "not trusted" in refused(file, first.data)
        verify_file(file, second)


def test_refuses_a_key_as_a_signature() -> None:
    assert all(signature.problem for signature in openpgpsig.read_signatures(archive.keyring("good")))


def test_number_of_signatures_is_limited() -> None:
    (packet,) = openpgpsig.read_signatures(GOOD)
    signatures = list(openpgpsig.read_signatures(packet.data * 300))
    assert (len(signatures), signatures[-1].problem) == (257, "there are more than 256 signatures")
    (signature,) = openpgpsig.read_signatures(b"x" * (openpgpsig.MAX_FILE + 1))
    assert "larger than 1 MiB" in signature.problem


def test_verifies_version_6_signatures(file: Path) -> None:
    key = pysequoia.Tsk.generate("six", profile=pysequoia.Profile.RFC9580)
    signature_file = pysequoia.sign(key.signer(), DATA, mode=pysequoia.SignatureMode.DETACHED)
    (signature,) = openpgpsig.read_signatures(signature_file)
    ring = openpgp.Keyring(b"", [key.extract_certificate()])
    assert (
        openpgpsig.verify_file(file, signature, ring, now=SystemClock().now())
        == key.extract_certificate().fingerprint
    )
    assert openpgpsig.matches_file(file, signature.data)


def test_refuses_a_key_without_signing_capability(file: Path) -> None:
    """Whoever has the secret can sign all the same; what the certificate says is what counts."""
    for gpg in gnupg.running_gpg():
        key = gpg.generate("Flags <flags@example.com>")
        secret = pysequoia.Tsk.from_bytes(gpg.run("--export-secret-keys", key).stdout)
        time_options = ("--faked-system-time", "20200601T000000!", "--command-fd", "0")
        gpg.run(*time_options, "--edit-key", key, data=b"change-usage\nS\nQ\nsave\n")
        ring = openpgp.read_keyring(gpg.run("--export", key).stdout)
        data = pysequoia.sign(secret.signer(), DATA, mode=pysequoia.SignatureMode.DETACHED)
        (signature,) = openpgpsig.read_signatures(data)
        with pytest.raises(TrustError, match="did not make it, or may not sign"):
            openpgpsig.verify_file(file, signature, ring, now=SystemClock().now())


RAW = next(iter(openpgpsig.read_signatures(GOOD))).data


@given(st.binary(max_size=400) | st.binary(max_size=300).map(lambda data: GOOD[:60] + data))
def test_any_bytes_return_signatures_or_problems(data: bytes) -> None:
    for signature in openpgpsig.read_signatures(data):
        assert signature.problem or signature.data


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(RAW) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_any_damage_is_detected(changes: list[tuple[int, int]]) -> None:
    data = bytearray(RAW)
    for position, value in changes:
        data[position] = value
    path = Path(archive.KEYS / "README")  # another file than the one that was signed
    ring = openpgp.read_keyring(archive.keyring("good"))
    for signature in openpgpsig.read_signatures(bytes(data)):
        if signature.problem:
            continue
        openpgpsig.matches_file(path, signature.data)
        with pytest.raises(PumiceError):
            openpgpsig.verify_file(path, signature, ring, now=SystemClock().now())
