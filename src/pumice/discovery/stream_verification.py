"""Verifies the signature of an image in another process while the image is downloaded."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pumice.errors import PumiceError
from pumice.formats import openpgpsig
from pumice.trust.signature_process import VerificationTask, verify_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.discovery.growing_file import GrowingFile

MIN_SIZE = 32 << 20
"""Bytes of the smallest image for which a process is started: others are verified faster without."""
_CHUNK = 1 << 18


class StreamVerification:
    """A verification that runs once there is enough to verify; a context manager.

    It only saves time: what it does not verify is verified when the download is complete.
    """

    def __init__(self, file: GrowingFile, task: VerificationTask | None) -> None:
        """``task`` is None if there is nothing to verify."""
        self._file = file
        self._task = task
        self._signer = ""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> StreamVerification:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.abandon()
        self._thread.join()

    def finish(self) -> tuple[tuple[bytes, str], ...]:
        """Return the signature and the fingerprint of its key if it is valid; the file must be complete."""
        self._thread.join()
        is_valid = self._task is not None and self._signer and not self._file.is_stale
        return ((self._task.signature, self._signer),) if self._task is not None and is_valid else ()

    def _run(self) -> None:
        try:
            if self._task is not None and self._file.wait_for_size(MIN_SIZE) >= MIN_SIZE:
                self._signer = verify_stream(self._task, self._chunks())
        except (PumiceError, OSError):  # it is verified again, which explains what is wrong
            return

    def _chunks(self) -> Iterator[bytes]:
        reader = self._file.reader()
        while chunk := reader.read(_CHUNK):
            yield chunk


def make_task(signature: bytes, trusted: tuple[bytes, ...], now: int) -> VerificationTask | None:
    """Return the task for the only signature in a file, None if it has none or several.

    ``trusted`` are OpenPGP certificates.
    """
    signatures = [each for each in openpgpsig.read_signatures(signature) if not each.problem]
    if len(signatures) != 1 or not trusted:
        return None
    return VerificationTask(signatures[0].data, signatures[0].issuer, trusted, now)
