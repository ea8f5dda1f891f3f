"""Writes an App Container image again with another manifest; the files stay as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.appc.aci_archive import AciWriter
from pumice.appc.image_manifest import encode_image_manifest
from pumice.image import aci_reader
from pumice.os_errors import IMAGE, translate_os_errors

if TYPE_CHECKING:
    from pathlib import Path

    from pumice.appc.image_manifest import ImageManifest
    from pumice.appc.streams import Compression
    from pumice.image.output import Output
    from pumice.progress import Progress


def rewrite_aci(
    path: Path, manifest: ImageManifest, output: Output, compression: Compression, progress: Progress
) -> str:
    """Write the image at ``path`` with ``manifest``; return its image ID. Raises ImageError, FormatError."""
    encoded_manifest = encode_image_manifest(manifest)
    with (
        aci_reader.open_reader(path) as reader,
        progress.task(f"writing {output}"),
        translate_os_errors(str(output), IMAGE),
        AciWriter(encoded_manifest, compression, output.file.write) as writer,
    ):
        for entry, body in reader.entries():
            writer.add(entry, body)
        return writer.finish()
