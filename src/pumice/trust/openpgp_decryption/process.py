"""Start the process that decrypts, and say why it failed."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import FormatError, TrustError
from pumice.trust.openpgp_decryption import child

if TYPE_CHECKING:
    pass

_PROGRAM = str(Path(__file__).with_name("__main__.py"))


class Secrets(msgspec.Struct, frozen=True):
    """Secret keys, binary, with their passphrases ("" for none), and passphrases of messages."""

    keys: tuple[tuple[bytes, str], ...] = ()
    passphrases: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<{len(self.keys)} keys and {len(self.passphrases)} passphrases>"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a message may cost: its bytes, as a number and as a multiple, of memory, and seconds."""

    size: int = 1 << 30
    expansion: int = 200
    memory: int = 2 << 30
    seconds: int = 600


def decrypt_file(source: int, target: int, secrets: Secrets, limits: Limits | None = None) -> None:
    """Decrypt the file of a descriptor into the empty file of another one.

    Raises TrustError if no key fits or the message was changed, FormatError for what is not a message, or one
    that exceeds the limits. The target has something that must not be used then.
    """
    limits = limits or Limits()
    size = max(limits.size, limits.expansion * os.fstat(source).st_size)
    request = {
        "paths": [os.path.abspath(path) for path in sys.path if path],  # noqa: PTH100 - links stay
        "keys": [(base64.b64encode(key).decode(), passphrase) for key, passphrase in secrets.keys],
        "passphrases": list(secrets.passphrases),
        "source": source,
        "target": target,
        "size": size,
        "memory": limits.memory,
        "seconds": limits.seconds,
    }
    try:
        result = subprocess.run(
            [sys.executable, "-I", "-S", _PROGRAM],
            input=json.dumps(request).encode(),
            capture_output=True,
            pass_fds=(source, target),
            env={},
            timeout=limits.seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _explain(-signal.SIGXCPU, "", size, limits) from None
    if result.returncode != child.DECRYPTED:
        reason = result.stderr.decode("utf-8", "replace").partition("\n")[0]
        raise _explain(result.returncode, reason, size, limits)


def _explain(code: int, reason: str, size: int, limits: Limits) -> Exception:
    if code == child.NO_KEY:
        return TrustError("no key and no passphrase decrypts the message")
    if code == child.TOO_LARGE:
        return FormatError(f"the decrypted message has more than {size >> 20} MiB")
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return FormatError(f"the message takes longer than {limits.seconds} seconds to decrypt")
    if "manipulated" in reason:
        return TrustError("the encrypted message was changed")
    if reason.lower().endswith("eof"):
        return FormatError("the file is not an OpenPGP message, or it is truncated")
    return FormatError(f"cannot decrypt the message: {reason[:200].lower() or f'exit code {code}'}")
