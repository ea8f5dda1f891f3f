"""The images to publish in an App Container tree: files as they are, and other images converted."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.appc.labels import find_value
from pumice.errors import UsageError
from pumice.formats import platforms
from pumice.image import aci_reader, aci_writer
from pumice.image.aci_platforms import find_architecture
from pumice.image.aci_writer import AciOptions
from pumice.image.output import Output
from pumice.image.transports import references
from pumice.image.transports.locations import ACI
from pumice.os_errors import translate_os_errors
from pumice.publish.appc import Source
from pumice.trust.archive_signatures import signature_path

if TYPE_CHECKING:
    from pumice.formats.oci import Platform
    from pumice.image.model import Image
    from pumice.image.transports.locations import Access
    from pumice.progress import Progress
    from pumice.store.home import Home


def find_sources(reference: str, home: Home, access: Access, platform: str | None = None) -> list[Source]:
    """Return what a REF stands for: an image for each platform, or for one. Raises PumiceError."""
    location = references.find_source(reference, home)
    if location.address.transport is ACI:
        return [_file_source(Path(location.address.path))]
    opened = location.open(access)
    if not opened.name or not opened.version:
        raise UsageError(
            "the image needs a name and a version", where=reference[:200], hint="pull or tag it first"
        )
    members = opened.image.members()
    selected = [opened.image.select(platforms.parse_platform(platform))] if platform else []
    images = selected or [opened.image.at(descriptor) for descriptor, _ in members]
    return [
        _converted_source(image, _platform_of(image), opened.name, opened.version, access.progress)
        for image in images
    ]


def _platform_of(image: Image) -> Platform:
    return image.platforms()[0]


def _converted_source(
    image: Image, platform: Platform, name: str, version: str, progress: Progress
) -> Source:
    def write(path: Path) -> str:
        with Output(str(path)) as file:
            return aci_writer.write_aci(image, file, AciOptions(name=name, version=version), progress)

    return Source(
        name=name,
        version=version,
        os=platform.os,
        arch=find_architecture(platform),
        source=f"{image.root.digest} {name}:{version}",
        write=write,
    )


def _file_source(file: Path) -> Source:
    validated = aci_reader.validate_aci(file)
    labels = validated.manifest.labels

    def write(path: Path) -> str:
        with translate_os_errors(str(file)):
            shutil.copyfile(file, path)
            if signature_path(file).is_file():
                shutil.copyfile(signature_path(file), signature_path(path))
        return aci_reader.validate_aci(path).image_id

    with translate_os_errors(str(file)), file.open("rb") as content:
        source = f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"
    return Source(
        name=validated.manifest.name,
        version=find_value(labels, "version") or "",
        os=find_value(labels, "os") or "",
        arch=find_value(labels, "arch") or "",
        source=source,
        write=write,
    )
