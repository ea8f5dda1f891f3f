"""Decrypt short OpenPGP messages with gpg, which reads malformed ones.

The library of skopeo and buildah begins messages with a chunk that is too short (RFC 9580, 4.2.1.4), and
sometimes writes a number with leading zeros. The OpenPGP library that Pumice uses refuses both.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAX_OUTPUT = 1 << 20
_SECONDS = 60


def decrypt_message(
    data: bytes, keys: Sequence[tuple[bytes, str]], environ: Mapping[str, str]
) -> bytes | None:
    """Return the text of a message, None if no key decrypts it, or if gpg is not installed.

    ``keys`` are secret keys, binary, with their passphrases. gpg gets a keyring of its own, which is removed.
    """
    program = shutil.which("gpg", path=environ.get("PATH"))
    if program is None:
        return None
    with tempfile.TemporaryDirectory(prefix="pumice-", ignore_cleanup_errors=True) as home:
        try:
            for key, passphrase in keys:
                _run(program, home, environ, "--import", data=key)
                options = ("--pinentry-mode", "loopback", "--passphrase-fd", "0", "--max-output")
                with tempfile.NamedTemporaryFile(dir=home) as message:
                    message.write(data)
                    message.flush()
                    result = _run(
                        *(program, home, environ, *options, str(_MAX_OUTPUT), "--decrypt", message.name),
                        data=passphrase.encode() + b"\n",
                    )
                if result is not None and result.returncode == 0:
                    return result.stdout
        finally:
            if (control := shutil.which("gpgconf", path=environ.get("PATH"))) is not None:
                command = [control, "--homedir", home, "--kill", "gpg-agent"]
                subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    return None


def _run(
    program: str, home: str, environ: Mapping[str, str], *arguments: str, data: bytes
) -> subprocess.CompletedProcess[bytes] | None:
    """Run gpg with the keyring in ``home``; None if it takes too long."""
    try:
        return subprocess.run(
            [program, "--homedir", home, "--batch", "--no-tty", "--quiet", *arguments],
            input=data,
            capture_output=True,
            env={"PATH": environ.get("PATH", ""), "LC_ALL": "C.UTF-8"},
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
