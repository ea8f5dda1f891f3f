"""What runs in the process that decrypts."""

from __future__ import annotations

import base64
import errno
import resource
import sys
from typing import Any

DECRYPTED, NO_KEY, MALFORMED, TOO_LARGE = 0, 3, 4, 5
"""Exit codes."""


def run(request: dict[str, Any]) -> int:
    """Decrypt under the limits of a request; return the exit code, and write the reason to standard error."""
    _limit(request)
    import pysequoia

    source, target = (f"/proc/self/fd/{request[name]}" for name in ("source", "target"))
    failure = (NO_KEY, "")
    for options in _list_keys(request):
        try:
            pysequoia.decrypt_file(source, target, **options)
        except OSError as error:
            if "too large" in str(error).lower() or error.errno == errno.EFBIG:
                return TOO_LARGE
            failure = (MALFORMED, str(error))
        except Exception as error:  # noqa: BLE001 - the library raises RuntimeError, and panics as others
            reason = str(error).partition("\n")[0]
            failure = (NO_KEY if reason.startswith("No key") else MALFORMED, reason)
        else:
            return DECRYPTED
        if failure[0] == MALFORMED:
            break
    sys.stderr.write(failure[1][:200])
    return failure[0]


def _limit(request: dict[str, Any]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (request["size"], request["size"]))
    resource.setrlimit(resource.RLIMIT_CPU, (request["seconds"], request["seconds"] + 1))


def _list_keys(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the arguments of the library for each key, and for all passphrases."""
    import pysequoia

    options: list[dict[str, Any]] = []
    for text, passphrase in request["keys"]:
        key = pysequoia.Tsk.from_bytes(base64.b64decode(text))
        try:
            options.append({"decryptor": key.decryptor(passphrase) if passphrase else key.decryptor()})
        except Exception:  # noqa: S112, BLE001 - it cannot decrypt, or its passphrase is wrong
            continue
    if request["passphrases"]:
        options.append({"passwords": request["passphrases"]})
    return options
