"""One layer of an image: a compressed tar archive whose content is verified while it is read."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

from pumice.appc.streams import BackgroundHash
from pumice.errors import FormatError, ImageError, TrustError
from pumice.formats import tar
from pumice.formats.compression import DecompressedStream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from pumice.appc.streams import Sink
    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor

    class _Blobs(Protocol):
        def open(self, digest: Digest) -> BinaryIO: ...


_CHUNK = 1 << 18
_MAX_ENTRIES = 2_000_000
_FREE_EXPANSION = 1 << 30
_EXPANSION = 200
"""The content of a layer may have 1 GiB plus 200 times its compressed size: real layers have up to 10 times
their size. Deflate can reach 1032, zstandard millions."""


class Layer:
    """A layer of an image; it can be opened any number of times."""

    def __init__(self, descriptor: Descriptor, diff_id: Digest, blobs: _Blobs) -> None:
        self.descriptor = descriptor
        self.diff_id = diff_id
        self._blobs = blobs

    def open(self, *, in_background: bool = False, copy: Sink | None = None) -> LayerStream:
        """Open the tar of the layer, decompressed according to its bytes, not to its media type.

        With ``in_background``, a thread computes its digest, which pays for large layers only, and passes
        everything to ``copy``.
        """
        if self.descriptor.media_type.endswith("+encrypted"):
            raise ImageError(
                f"the layer {self.descriptor.digest[:23]}… is encrypted",
                hint="decrypt the image first: pumice copy --decryption-key FILE SRC DST",
            )
        file = self._blobs.open(self.descriptor.digest)
        return LayerStream(file, self.descriptor.size, self.diff_id, in_background=in_background, copy=copy)

    def entries(self, *, in_background: bool = False) -> Iterator[tuple[tar.Entry, tar.Body]]:
        """Yield the entries of the layer in their order, each with its content; see `open`.

        The content is verified after the last entry: raises TrustError if its digest is not the diff ID in
        the image's config, and FormatError for anything malformed.
        """
        with self.open(in_background=in_background) as stream:
            yield from self.read_entries(stream)

    def read_entries(self, stream: LayerStream) -> Iterator[tuple[tar.Entry, tar.Body]]:
        """Yield the entries of the open layer as `entries` does; ``stream`` is at the content of each."""
        for count, (entry, body) in enumerate(tar.read_entries(stream, skip_global_headers=True)):
            if count >= _MAX_ENTRIES:
                raise FormatError(f"a layer has more than {_MAX_ENTRIES} entries", where=self.diff_id)
            yield entry, body
        stream.finish()


class LayerStream:
    """The bytes of a layer's tar archive; reading to the end and calling `finish` verifies them."""

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        diff_id: Digest,
        *,
        in_background: bool = False,
        copy: Sink | None = None,
    ) -> None:
        self._file = file
        self._diff_id = diff_id
        self._hash = hashlib.sha256()
        self._background = BackgroundHash(self._hash, copy=copy) if in_background else None
        update = (self._background or self._hash).update
        try:
            limit = _FREE_EXPANSION + _EXPANSION * size
            self._stream = DecompressedStream(file, limit=limit, observe=update)
        except BaseException:
            self.__exit__()
            raise

    @property
    def compression(self) -> str:
        """``plain``, ``gzip``, ``zstd`` or ``xz``."""
        return self._stream.kind

    @property
    def position(self) -> int:
        """The number of bytes that were read so far."""
        return self._stream.position

    def read(self, size: int, /) -> bytes:
        """Return the next ``size`` bytes, fewer only at the end; raises FormatError when damaged."""
        return self._stream.read(size)

    def read_some(self, size: int, /) -> bytes | memoryview:
        """Return between 1 and ``size`` bytes as `read` does, without a copy if possible."""
        return self._stream.read_some(size)

    def finish(self) -> None:
        """Read the remaining bytes; raises TrustError if the content does not match the diff ID."""
        while self.read(_CHUNK):
            pass
        if self._background:
            self._background.finish()
        diff_id = "sha256:" + self._hash.hexdigest()
        if diff_id != self._diff_id:
            raise TrustError("the content of a layer does not match its diff ID", where=self._diff_id)

    def __enter__(self) -> LayerStream:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()
        if self._background:
            self._background.__exit__()
