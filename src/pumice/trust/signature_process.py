"""A process that verifies an OpenPGP signature of what it reads.

The OpenPGP library reads a file itself and lets no other thread run meanwhile. So a signature is verified by
another process if that is to happen while the file is still downloaded. Standard input has the size of the
task (4 bytes, big-endian), the task, and the content of the file; the fingerprint of the signer is printed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

_SIZE_BYTES = 4


class VerificationTask(msgspec.Struct, frozen=True):
    """A signature packet with its issuer, certificates that may have made it, and the time in seconds."""

    signature: bytes
    issuer: str
    certificates: tuple[bytes, ...]
    now: int


def verify_stream(task: VerificationTask, chunks: Iterable[bytes]) -> str:
    """Return the fingerprint of the key that signed the content, "" unless the signature is valid.

    Why it is not is left to `openpgpsig.verify_file`. Raises what ``chunks`` raises.
    """
    encoded = msgspec.msgpack.encode(task)
    command = (sys.executable, "-P", "-m", __name__)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        try:
            with suppress(BrokenPipeError), process.stdin as pipe:
                pipe.write(len(encoded).to_bytes(_SIZE_BYTES, "big") + encoded)
                for chunk in chunks:
                    pipe.write(chunk)
            output = process.stdout.read(100)
        except BaseException:
            process.kill()
            raise
    return output.decode("ascii", "replace").strip() if process.returncode == 0 else ""


def main() -> None:
    """Verify what standard input has."""
    from pumice.errors import PumiceError
    from pumice.formats import openpgpsig
    from pumice.trust import openpgp

    size = int.from_bytes(_read(_SIZE_BYTES), "big")
    task = msgspec.msgpack.decode(_read(size), type=VerificationTask)
    certificates = [each for data in task.certificates for each in openpgp.parse_certificates(data)]
    signature = openpgpsig.Signature(task.signature, task.issuer)
    try:
        maker = openpgpsig.verify_file(
            Path("/dev/stdin"), signature, openpgp.make_keyring(certificates), now=task.now
        )
    except PumiceError:
        sys.exit(1)
    sys.stdout.write(maker)


def _read(size: int) -> bytes:
    """Read without a buffer: what follows is for the library."""
    data = b""
    while len(data) < size and (chunk := os.read(0, size - len(data))):
        data += chunk
    return data


if __name__ == "__main__":
    main()
