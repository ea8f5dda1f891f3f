"""The layer of an image on its way to the store: uncompressed, and without a name until it is committed.

What is verified only after it was read, such as a signature of the whole file, decides whether to commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice.appc.streams import BackgroundConsumer
from pumice.formats import oci, tar
from pumice.image.aci_reader import encode_entries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.formats.tar import Body, Entry
    from pumice.store.directory_blobs import DirectoryWriter


class UncommittedLayer(msgspec.Struct, frozen=True):
    """A layer that is written and can be read as long as its ``writer`` is open."""

    descriptor: Descriptor
    writer: DirectoryWriter

    @property
    def diff_id(self) -> Digest:
        """The digest of the layer, which is not compressed."""
        return self.descriptor.digest

    def open(self) -> BinaryIO:
        """Open the layer."""
        return self.writer.open()

    def entries(self) -> Iterator[tuple[Entry, Body]]:
        """Yield the entries; this process wrote them, so they are not verified."""
        with self.open() as file:
            yield from tar.read_entries(file)

    def commit(self) -> None:
        """Add the layer to the store; raises StoreError."""
        self.writer.commit(self.descriptor.digest)


def write_layer(entries: Iterator[tuple[Entry, Body]], writer: DirectoryWriter) -> UncommittedLayer:
    """Write entries to a new blob of the store; raises FormatError, StoreError.

    Hashing and writing run in a thread. Compressing, and hashing the result, would take as long as all else.
    """
    with BackgroundConsumer(writer.write) as consumer:
        for chunk in encode_entries(entries):
            consumer.update(chunk)
        consumer.close()
    return UncommittedLayer(oci.Descriptor(oci.LAYER_TAR, writer.digest, writer.size), writer)
