"""Converts an App Container image in a thread while it is downloaded."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from pumice.discovery.growing_file import GrowingFile, StaleFileError
from pumice.errors import FormatError, PumiceError
from pumice.image import aci_reader
from pumice.image.uncommitted_layer import UncommittedLayer, write_layer
from pumice.registry.errors import redact_url

if TYPE_CHECKING:
    from pathlib import Path

    from pumice.image.aci_reader import ValidatedAci
    from pumice.store.home import Home


class ConvertedAci(msgspec.Struct, frozen=True):
    """An image that was read as a whole; nobody finds its layer in the store before it is committed."""

    validated: ValidatedAci
    layer: UncommittedLayer


class StreamConversion:
    """A conversion that runs as soon as there is something to convert; a context manager.

    The layer can be read until the context ends.
    """

    def __init__(self, home: Home, url: str) -> None:
        """``url`` is where the image is from, for messages."""
        self.file = GrowingFile()
        self.url = url
        self._home = home
        self._stack = ExitStack()
        self._converted: ConvertedAci | None = None
        self._error: PumiceError | None = None
        self._crash: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(self.file,), daemon=True)

    def __enter__(self) -> StreamConversion:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.file.abandon()
        self._thread.join()
        self.file.close()
        self._stack.close()

    def finish(self, path: Path) -> ConvertedAci:
        """Return the image, whose file is complete and at ``path``; raises FormatError, StoreError."""
        self._thread.join()
        if self.file.is_stale:
            self._convert_again(path)
        if self._crash is not None:
            raise self._crash
        if self._error is not None:
            raise self._error
        assert self._converted is not None  # noqa: S101 - the thread has ended
        return self._converted

    def _convert_again(self, path: Path) -> None:
        """Convert the complete file: another one was there when its download began."""
        self._error = self._converted = None
        file = GrowingFile()
        try:
            file.complete(path, path.stat().st_size)
            self._run(file)
        finally:
            file.close()

    def _run(self, file: GrowingFile) -> None:
        try:
            self._converted = self._convert(file)
        except StaleFileError:
            return
        except FormatError as error:
            where = redact_url(self.url)
            where = f"{where}: {error.where}" if error.where else where
            self._error = FormatError(error.message, where=where, hint=error.hint)
        except PumiceError as error:
            self._error = error
        except BaseException as error:  # noqa: BLE001 - raised in the other thread
            self._crash = error
        if self._error is not None:
            file.fail(self._error)

    def _convert(self, file: GrowingFile) -> ConvertedAci:
        writer = self._stack.enter_context(self._home.blobs.writer())
        validated, layer = aci_reader.convert_aci(
            file.reader(), file.wait_for_size, lambda entries: write_layer(entries, writer)
        )
        return ConvertedAci(validated, layer)
