"""Keys of gpg, in its agent or on a card: gpg finds and exports them, and signs with them."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import TrustError, UsageError
from pumice.trust import openpgp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pumice.trust.openpgp import Certificate

PREFIX = "gpg:"
"""Prefix of ``--key`` for a key of gpg."""


class GpgKey(msgspec.Struct, frozen=True):
    """A secret key in gpg's keyring; ``fingerprint`` is lower-case hexadecimal."""

    fingerprint: str
    user_id: str
    can_sign: bool


def list_secret_keys(environ: Mapping[str, str], identity: str = "") -> list[GpgKey]:
    """Return the secret keys of gpg, all or those that match ``identity``.

    Raises UsageError if gpg is not installed, TrustError if it fails.
    """
    result = _run_gpg(environ, "--list-secret-keys", "--", *([identity] if identity else []), check=False)
    if result.returncode and not result.stdout and b"No secret key" not in result.stderr:
        raise TrustError(_describe_failure(result.stderr, "gpg cannot list its secret keys"))
    keys: list[GpgKey] = []
    for line in result.stdout.decode("utf-8", "replace").splitlines():
        fields = line.split(":")
        if fields[0] == "sec" and len(fields) > 11:
            # Capital letters are the capabilities of the key with all its subkeys; D means disabled.
            keys.append(
                GpgKey("", "", "S" in fields[11] and "D" not in fields[11] and fields[1] not in "rei")
            )
        elif fields[0] == "fpr" and keys and not keys[-1].fingerprint:
            keys[-1] = msgspec.structs.replace(keys[-1], fingerprint=fields[9].lower())
        elif fields[0] == "uid" and keys and not keys[-1].user_id:
            keys[-1] = msgspec.structs.replace(keys[-1], user_id=_unescape(fields[9]))
    return keys


def find_secret_key(environ: Mapping[str, str], identity: str) -> GpgKey:
    """Return the only key that matches a fingerprint, key ID or user ID; raises TrustError, UsageError."""
    if not identity or not identity.isprintable():
        raise UsageError(
            "gpg: needs a fingerprint, a key ID or a user ID", hint="see 'gpg --list-secret-keys'"
        )
    keys = list_secret_keys(environ, identity)
    if not keys:
        raise TrustError(f"gpg has no secret key {identity[:100]!r}", hint="see 'gpg --list-secret-keys'")
    if len(keys) > 1:
        raise UsageError(
            f"{identity[:100]!r} matches {len(keys)} secret keys of gpg",
            hint="use a fingerprint: " + ", ".join(key.fingerprint.upper() for key in keys[:4]),
        )
    if not keys[0].can_sign:
        raise TrustError(
            f"gpg key {keys[0].fingerprint.upper()} cannot sign: it is expired, revoked or not for signing"
        )
    return keys[0]


def export_certificate(environ: Mapping[str, str], fingerprint: str) -> Certificate:
    """Return the certificate of a key; raises TrustError, FormatError."""
    result = _run_gpg(environ, "--export", "--", fingerprint)
    return openpgp.parse_certificate(result.stdout[: openpgp.MAX_FILE])


def sign_file(
    environ: Mapping[str, str],
    fingerprint: str,
    file: Path,
    *,
    signed_at: int | None,
    passphrase: bytes | None,
) -> bytes:
    """Return gpg's detached signature of a file, in binary; raises TrustError.

    Without ``passphrase`` gpg's agent asks for it. ``signed_at`` is the signing time in seconds since
    the epoch, None for the current time.
    """
    options = ["--local-user", fingerprint, "--digest-algo", "SHA512", "--detach-sign", "--output", "-"]
    if signed_at is not None:
        options = ["--faked-system-time", f"{signed_at}!", *options]
    source = None
    if passphrase is not None:
        source, sink = os.pipe()
        try:
            os.write(sink, passphrase[:4096] + b"\n")
        finally:
            os.close(sink)
        options = ["--pinentry-mode", "loopback", "--passphrase-fd", str(source), *options]
    try:
        passed = () if source is None else (source,)
        return _run_gpg(environ, *options, "--", str(file), pass_fds=passed).stdout
    finally:
        if source is not None:
            os.close(source)


def _run_gpg(
    environ: Mapping[str, str], *arguments: str, check: bool = True, pass_fds: Sequence[int] = ()
) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("gpg", path=environ.get("PATH"))
    if program is None:
        raise UsageError("gpg is not installed", hint="use a key file: pumice key generate --openpgp USER-ID")
    inherited = {key: value for key, value in environ.items() if not key.startswith("PUMICE_")}
    if "GPG_TTY" not in inherited and os.isatty(0):  # gpg's agent asks for the passphrase there
        inherited["GPG_TTY"] = os.ttyname(0)
    result = subprocess.run(
        [program, "--batch", "--no-auto-key-locate", "--with-colons", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**inherited, "LC_ALL": "C.UTF-8"},
        pass_fds=pass_fds,
        check=False,
        timeout=None,  # a person may have to enter a passphrase, or to touch a token
    )
    if check and (result.returncode or not result.stdout):
        failure = "gpg cannot export the key" if "--export" in arguments else "gpg cannot sign"
        raise TrustError(_describe_failure(result.stderr, failure))
    return result


def _describe_failure(text: bytes, failure: str = "gpg cannot sign") -> str:
    """Return an error message with the last line of gpg's output, which is the reason."""
    lines = [line.strip() for line in text.decode("utf-8", "replace").splitlines() if line.startswith("gpg:")]
    lines = [line.removeprefix("gpg:").strip() for line in lines if "WARNING" not in line]
    reason = lines[-1] if lines else "unknown error"
    if any("created" in line and "in the future" in line for line in lines):
        reason = "the key is newer than SOURCE_DATE_EPOCH"
    return f"{failure}: {reason[:200]}"


def _unescape(text: str) -> str:
    """Undo the escaping of a user ID by ``--with-colons`` (gpg's DETAILS, field 10)."""
    import re

    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), text)
