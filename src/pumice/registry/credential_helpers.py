"""Runs credential helpers: programs ``docker-credential-NAME`` that store logins.

The protocol is that of docker-credential-helpers. They are only run if the user's authentication file names
them. Their standard error may contain secrets, so it is never printed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from pumice.decoding import decode_json
from pumice.errors import FormatError, PumiceError

if TYPE_CHECKING:
    import subprocess

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TIMEOUT_SECONDS = 60
_NOT_FOUND_TEXTS = ("credentials not found", "no credentials", "not found in")


class _HelperLogin(msgspec.Struct, frozen=True):
    username: str = msgspec.field(name="Username")
    secret: str = msgspec.field(name="Secret")


def get(name: str, key: str) -> tuple[str, str] | None:
    """Return the (username, secret) that a helper has for ``key``, or None; raises PumiceError."""
    completed = _run(name, "get", key.encode())
    if completed.returncode != 0:
        output = completed.stdout[:500].decode(errors="replace").lower()
        if any(text in output for text in _NOT_FOUND_TEXTS):
            return None
        raise _helper_error(name, f"exited with status {completed.returncode}")
    try:
        login = decode_json(completed.stdout, _HelperLogin)
    except (msgspec.MsgspecError, ValueError):
        raise FormatError(f"the credential helper docker-credential-{name} returned malformed JSON") from None
    return (login.username, login.secret) if login.secret else None


def store(name: str, key: str, user: str, secret: str) -> None:
    """Store a login with a helper; raises PumiceError."""
    login = {"ServerURL": key, "Username": user, "Secret": secret}
    completed = _run(name, "store", msgspec.json.encode(login))
    if completed.returncode != 0:
        raise _helper_error(name, f"could not store the login and exited with status {completed.returncode}")


def erase(name: str, key: str) -> bool:
    """Erase a login from a helper; return whether it had one. Raises PumiceError."""
    if get(name, key) is None:
        return False
    if _run(name, "erase", key.encode()).returncode != 0:
        raise _helper_error(name, "could not erase the login")
    return True


def _run(name: str, verb: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    import subprocess

    if _NAME.fullmatch(name) is None:
        raise FormatError(f"{name[:70]!r} is not the name of a credential helper")
    program = f"docker-credential-{name}"
    try:
        return subprocess.run(
            [program, verb], input=stdin, capture_output=True, check=False, timeout=_TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise _helper_error(name, "did not finish in time") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise _helper_error(name, f"cannot be run: {reason}") from error


def _helper_error(name: str, reason: str) -> PumiceError:
    return PumiceError(
        f"the credential helper docker-credential-{name} {reason}",
        hint="your authentication file names it as credsStore or in credHelpers",
    )
