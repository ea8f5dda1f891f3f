"""Keys: made, kept for their owner only, and read from whoever wrote them."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError, StoreError, TrustError, UsageError
from pumice.trust import key_directory, key_files, keys, public_keys
from tests.support.peers import need
from tests.support.signed_images import DATA, key


def secret() -> bytes:
    return b"hunter2"


@pytest.mark.parametrize("kind", keys.GENERATED_KINDS)
def test_a_key_pair_round_trips(tmp_path: Path, kind: str) -> None:
    private_key = keys.generate_key(kind)
    private, public = keys.write_pair(tmp_path / "pair", private_key, secret())
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    read = keys.read_private_key(private, secret)
    assert read.public_key == public_keys.read_public_key(public) == private_key.public_key
    assert keys.verify_signature(private_key.public_key, read.sign(b"data"), b"data")
    assert not keys.verify_signature(private_key.public_key, read.sign(b"data"), b"other")
    assert read.sign(b"data") == private_key.sign(b"data")
    with pytest.raises(StoreError, match="the file exists"):
        keys.write_pair(tmp_path / "pair", private_key, secret())


def test_the_representation_of_a_private_key_has_only_its_fingerprint() -> None:
    private_key = key()
    assert repr(private_key) == f"<private key {private_key.public_key.fingerprint}>"


def test_a_wrong_passphrase_is_reported(tmp_path: Path) -> None:
    private, _ = keys.write_pair(tmp_path / "pair", key(), secret())
    with pytest.raises(TrustError, match="does not open"):
        keys.read_private_key(private, lambda: b"other")


def test_ecdsa_nonces_are_those_of_rfc_6979() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    # RFC 6979, A.2.5, SHA-256, "sample"
    number = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    private_key = keys.PrivateKey(ec.derive_private_key(number, ec.SECP256R1()))
    r, s = decode_dss_signature(private_key.sign(b"sample"))
    assert r == 0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716
    assert s == 0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8


@pytest.mark.parametrize(
    "command",
    [
        "genpkey -algorithm ed25519",
        "ecparam -name prime256v1 -genkey -noout",
        "ecparam -name secp384r1 -genkey -noout",
        "ecparam -name secp521r1 -genkey -noout",
        "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048",
    ],
)
def test_keys_of_openssl_are_read(tmp_path: Path, command: str) -> None:
    private, public = tmp_path / "a.key", tmp_path / "a.pub"
    subprocess.run([need("openssl"), *command.split(), "-out", str(private)], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    private_key = keys.read_private_key(private, secret)
    assert private_key.public_key == public_keys.read_public_key(public)
    assert keys.verify_signature(private_key.public_key, private_key.sign(b"data"), b"data")


@pytest.mark.parametrize(
    "command",
    [
        "ecparam -name secp256k1 -genkey -noout",
        "ecparam -name secp224r1 -genkey -noout",
        "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024",
        "genpkey -algorithm X25519",
        "genpkey -algorithm ed448",
    ],
)
def test_unsupported_key_types_are_refused(tmp_path: Path, command: str) -> None:
    private = tmp_path / "a.key"
    subprocess.run([need("openssl"), *command.split(), "-out", str(private)], check=True, capture_output=True)
    with pytest.raises(FormatError, match="unsupported key type") as caught:
        key_files.import_key(private, tmp_path / "out", secret, secret)
    assert caught.value.where == str(private)
    assert caught.value.hint == ("use ECDSA on P-256, P-384 and P-521, Ed25519, and RSA of 2048 bits or more")
    public = tmp_path / "a.pub"
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    with pytest.raises(FormatError, match="unsupported key type"):
        public_keys.read_public_key(public)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not a private key"),
        (b"-----BEGIN PUBLIC KEY-----", "is a public key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "malformed"),
        (b"x" * 100_000, "larger than 64 KiB"),
    ],
)
def test_files_that_are_not_private_keys_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(data)
    with pytest.raises(PumiceError, match=message):
        keys.read_private_key(path, secret)


def test_a_private_key_is_not_read_as_a_public_key() -> None:
    with pytest.raises(FormatError, match="the file is a private key"):
        public_keys.parse_public_key((DATA / "cosign.key").read_bytes())


@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda x: b"-----BEGIN PUBLIC KEY-----\n" + x))
def test_any_bytes_are_a_key_or_refused(data: bytes) -> None:
    try:
        public_keys.parse_public_key(data)
    except PumiceError:
        pass


def test_passphrases_come_from_a_file_the_environment_or_a_prompt(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b" two words \r\n")
    environ = {keys.PASSPHRASE: "three"}
    assert keys.passphrase_source(environ, file, lambda: "four")() == b" two words "
    assert keys.passphrase_source(environ, None, lambda: "four")() == b"three"
    assert keys.passphrase_source({}, None, lambda: "four")() == b"four"
    with pytest.raises(UsageError, match="there is no terminal"):
        keys.passphrase_source({}, None, None)()


def test_keys_are_found_by_name_or_path(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    base = key_files.create_parent(key_directory.keys_directory(environ) / "mine")
    keys.write_pair(base, key(), secret())
    assert key_files.find_key_file("mine", ".key", environ) == Path(f"{base}.key")
    assert key_files.find_key_file(f"{base}.pub", ".key", environ) == Path(f"{base}.pub")
    assert [(listed_key.name, listed_key.can_sign) for listed_key in key_files.list_keys(environ)] == [
        ("mine", True)
    ]
    with pytest.raises(TrustError, match="no such key 'other'"):
        key_files.find_key_file("other", ".key", environ)


def test_a_private_key_is_not_opened_if_its_public_key_is_next_to_it(tmp_path: Path) -> None:
    private, _ = keys.write_pair(tmp_path / "pair", key(), secret())

    def never() -> bytes:
        raise AssertionError

    assert key_files.load_signer(private, never).public_key == key().public_key


def test_a_damaged_key_is_not_blamed_on_the_passphrase(tmp_path: Path) -> None:
    private = tmp_path / "a.key"
    subprocess.run(
        [
            need("openssl"),
            "genpkey",
            "-algorithm",
            "ed25519",
            "-aes256",
            "-pass",
            "pass:secret",
            "-out",
            private,
        ],
        check=True,
        capture_output=True,
    )
    data = private.read_bytes()
    with pytest.raises(TrustError, match="wrong passphrase"):
        keys.read_private_key(private, lambda: b"wrong")
    with pytest.raises(TrustError, match="wrong passphrase"):
        keys.read_private_key(private, lambda: b"")
    private.write_bytes(data[:100] + data[140:])
    with pytest.raises(FormatError, match="the private key is malformed"):
        keys.read_private_key(private, lambda: b"secret")
