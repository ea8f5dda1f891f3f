"""Keys that gpg holds, in its agent or on a card: found, exported, and signed with by gpg itself."""

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
"""What ``--key`` begins with for a key of gpg's."""


class GpgKey(msgspec.Struct, frozen=True):
    """A secret key in gpg's keyring; ``fingerprint`` is in lower case."""

    fingerprint: str
    user_id: str
    can_sign: bool


def list_secret_keys(environ: Mapping[str, str], identity: str = "") -> list[GpgKey]:
    """Return the secret keys that gpg knows, or those that ``identity`` may mean.

    Raises UsageError, and TrustError if gpg fails.
    """
    result = _run_gpg(environ, "--list-secret-keys", "--", *([identity] if identity else []), check=False)
    if result.returncode and not result.stdout and b"No secret key" not in result.stderr:
        raise TrustError(_describe_failure(result.stderr, "gpg cannot list its secret keys"))
    keys: list[GpgKey] = []
    for line in result.stdout.decode("utf-8", "replace").splitlines():
        fields = line.split(":")
        if fields[0] == "sec" and len(fields) > 11:
            # Its capital letters are what the key with all its subkeys can do, unless it is disabled.
            keys.append(
                GpgKey("", "", "S" in fields[11] and "D" not in fields[11] and fields[1] not in "rei")
            )
        elif fields[0] == "fpr" and keys and not keys[-1].fingerprint:
            keys[-1] = msgspec.structs.replace(keys[-1], fingerprint=fields[9].lower())
        elif fields[0] == "uid" and keys and not keys[-1].user_id:
            keys[-1] = msgspec.structs.replace(keys[-1], user_id=_unescape(fields[9]))
    return keys


def find_secret_key(environ: Mapping[str, str], identity: str) -> GpgKey:
    """Return the one key that a fingerprint, key ID or user ID means; raises TrustError, UsageError."""
    if not identity or not identity.isprintable():
        raise UsageError(
            "gpg: needs a fingerprint, a key ID or a user ID", hint="'gpg --list-secret-keys' shows them"
        )
    keys = list_secret_keys(environ, identity)
    if not keys:
        raise TrustError(
            f"gpg has no secret key {identity[:100]!r}", hint="'gpg --list-secret-keys' shows what it has"
        )
    if len(keys) > 1:
        raise UsageError(
            f"gpg has {len(keys)} secret keys {identity[:100]!r}",
            hint="give a fingerprint: " + ", ".join(one.fingerprint.upper() for one in keys[:4]),
        )
    if not keys[0].can_sign:
        raise TrustError(f"gpg's key {keys[0].fingerprint.upper()} may not sign, or not any more")
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

    Without ``passphrase`` gpg's agent asks whom it asks. ``moment`` is the signature's time, in
    seconds since the epoch, if it is not to be now.
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
    if "GPG_TTY" not in inherited and os.isatty(0):  # where its agent asks for a passphrase
        inherited["GPG_TTY"] = os.ttyname(0)
    result = subprocess.run(
        [program, "--batch", "--no-auto-key-locate", "--with-colons", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**inherited, "LC_ALL": "C.UTF-8"},
        pass_fds=pass_fds,
        check=False,
    )
    if check and (result.returncode or not result.stdout):
        failure = "gpg cannot export the key" if "--export" in arguments else "gpg did not sign"
        raise TrustError(_describe_failure(result.stderr, failure))
    return result


def _describe_failure(text: bytes, failure: str = "gpg did not sign") -> str:
    """Return the last thing that gpg said, which is what went wrong."""
    lines = [line.strip() for line in text.decode("utf-8", "replace").splitlines() if line.startswith("gpg:")]
    lines = [line.removeprefix("gpg:").strip() for line in lines if "WARNING" not in line]
    reason = lines[-1] if lines else "it says nothing"
    if any("created" in line and "in the future" in line for line in lines):
        reason = "the key was made after SOURCE_DATE_EPOCH"
    return f"{failure}: {reason[:200]}"


def _unescape(text: str) -> str:
    """Undo what ``--with-colons`` does to a user ID (gpg's DETAILS, field 10)."""
    import re

    return re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), text)
