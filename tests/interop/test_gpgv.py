"""gpgv, which apt uses, must reach the same verdicts as Pumice."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pumice.clock import SystemClock
from pumice.distro.debian.sources import builtin_keys
from pumice.errors import TrustError
from pumice.formats import openpgp
from tests.support import archive
from tests.support.peers import absent, need

TEXT = b"Origin: Debian\nCodename: bookworm\n"
RING = ("good", "subkey", "expired", "lapsed", "revoked")


def gpgv(folder: Path, keyring: bytes, *files: bytes) -> tuple[bool, bytes]:
    """(whether apt would accept it, the text that was signed)."""
    program = need("gpgv")
    certificates = openpgp.read_keyring(keyring).certificates
    (folder / "ring.gpg").write_bytes(b"".join(bytes(certificate) for certificate in certificates))
    names = []
    for number, data in enumerate(files):
        (folder / f"file{number}").write_bytes(data)
        names.append(str(folder / f"file{number}"))
    output = folder / "output"
    output.unlink(missing_ok=True)
    process = subprocess.run(
        [program, "--homedir", str(folder), "--keyring", str(folder / "ring.gpg"), "--status-fd", "1",
         *(["--output", str(output)] if len(files) == 1 else []), *names],
        capture_output=True, check=False,
    )  # fmt: skip
    verdicts = {line.split()[1] for line in process.stdout.splitlines() if line.startswith(b"[GNUPG:]")}
    failure_states = {b"EXPKEYSIG", b"REVKEYSIG", b"EXPSIG", b"BADSIG", b"ERRSIG", b"NODATA"}
    return (
        b"VALIDSIG" in verdicts and not verdicts & failure_states,
        output.read_bytes() if output.exists() else b"",
    )


def verify_with_pumice(data: bytes, keyring: bytes) -> tuple[bool, bytes]:
    try:
        verified = openpgp.verify_clearsigned(data, openpgp.read_keyring(keyring), now=SystemClock().now())
    except TrustError:
        return False, b""
    return True, verified.content


@pytest.mark.parametrize("signer", ["good", "subkey", "other", "expired", "lapsed", "revoked"])
def test_signers_are_verified_as_by_gpgv(signer: str, tmp_path: Path) -> None:
    data = archive.sign(TEXT, signer)
    theirs, content = gpgv(tmp_path, archive.keyring(*RING), data)
    verdict, signed = verify_with_pumice(data, archive.keyring(*RING))
    assert verdict == theirs
    if theirs:
        assert signed.rstrip() == content.rstrip() == TEXT.rstrip()


@pytest.mark.parametrize("signer", ["good", "subkey", "other", "expired", "lapsed", "revoked"])
def test_detached_signatures_are_verified_as_by_gpgv(signer: str, tmp_path: Path) -> None:
    signature = archive.detached(TEXT, signer)
    theirs, _ = gpgv(tmp_path, archive.keyring(*RING), signature, TEXT)
    try:
        openpgp.verify_detached(
            TEXT, signature, openpgp.read_keyring(archive.keyring(*RING)), now=SystemClock().now()
        )
        verdict = True
    except TrustError:
        verdict = False
    assert verdict == theirs


@pytest.mark.parametrize("name", ["signed-with-sha1", "signature-expired", "signed-before-expiry"])
def test_old_signatures_that_pumice_refuses_are_refused_by_gpgv(name: str, tmp_path: Path) -> None:
    data = (archive.KEYS / f"{name}.asc").read_bytes()
    theirs, _ = gpgv(tmp_path, archive.keyring(*RING), data)
    assert verify_with_pumice(data, archive.keyring(*RING)) == (False, b"")
    # gpgv accepts SHA-1; apt and Pumice refuse it.
    assert theirs is (name == "signed-with-sha1")


def test_a_changed_text_is_refused_by_both(tmp_path: Path) -> None:
    data = archive.sign(TEXT).replace(b"Debian", b"Devian")
    assert gpgv(tmp_path, archive.keyring(), data)[0] is False
    assert verify_with_pumice(data, archive.keyring())[0] is False


@pytest.mark.mirror
def test_real_indexes_are_signed_by_pumices_built_in_keys(tmp_path: Path) -> None:
    lists = [
        path
        for path in Path("/var/lib/apt/lists").glob("*_InRelease")
        if b"Origin: Debian\n" in path.read_bytes()
    ]
    if not lists:
        absent("apt has no lists")
    keyring = builtin_keys().data
    for path in lists:
        theirs, content = gpgv(tmp_path, keyring, path.read_bytes())
        verdict, signed = verify_with_pumice(path.read_bytes(), keyring)
        assert verdict
        assert theirs
        assert signed.rstrip() == content.rstrip()
