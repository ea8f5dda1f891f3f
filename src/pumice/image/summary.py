"""The summary of an image that ``pumice inspect`` prints as text or as JSON."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.formats import oci, platforms
from pumice.image import inventory
from pumice.image.inventory import ListedFile, PackageFact, User
from pumice.image.model import blobs_of, list_blobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.formats.oci import Descriptor, History, ImageConfig, Platform
    from pumice.image.inventory import FileFact, Inventory
    from pumice.image.model import Image
    from pumice.image.stat_cache import Records


class LayerSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One layer; ``size`` is that of the blob, ``unpacked`` that of its files, both in bytes."""

    digest: str
    diff_id: str
    media_type: str
    size: int
    unpacked: int
    comment: str = ""


class PlatformSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One platform's image; sizes are bytes. ``config`` has the names of image-spec's config.md."""

    platform: str
    digest: str
    config_digest: str
    created: str
    release: str
    size: int
    unpacked: int
    files: int
    config: dict[str, Any]
    annotations: dict[str, str]
    layers: tuple[LayerSummary, ...]
    packages: tuple[PackageFact, ...]
    users: tuple[User, ...]
    groups: tuple[User, ...]
    set_id: tuple[ListedFile, ...]
    """Files that run as their owner or group."""
    capable: tuple[ListedFile, ...]
    """Files with capabilities."""
    world_writable: tuple[ListedFile, ...]


class ArtifactSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest, or an index of blobs, that is not an image: its type and its blobs."""

    digest: str
    artifact_type: str
    size: int
    annotations: dict[str, str]
    blobs: tuple[BlobSummary, ...]


class BlobSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One blob of an artifact; ``title`` is its file name, if it has one."""

    digest: str
    media_type: str
    size: int
    title: str = ""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """An image with all its platforms, or with the requested one."""

    digest: str
    media_type: str
    size: int
    """Bytes of all layers and documents, each counted once."""
    platforms: tuple[PlatformSummary, ...]
    artifacts: tuple[ArtifactSummary, ...] = ()
    """Manifests that are not images: the root itself, or those that an index lists next to images."""


def summarize(image: Image, platform: Platform | None = None, records: Records | None = None) -> Summary:
    """Return the summary of an image, or of one platform of it. Raises the errors of reading it."""
    if platform is not None:
        image = image.select(platform)
    members = image.members()
    return Summary(
        digest=image.root.digest,
        media_type=image.root.media_type,
        size=sum(descriptor.size for descriptor in list_blobs(image)),
        platforms=tuple(
            _summarize_platform(image.at(descriptor), image_platform, records)
            for descriptor, image_platform in members
        ),
        artifacts=_summarize_artifacts(image, {descriptor.digest for descriptor, _ in members}),
    )


def _summarize_artifacts(image: Image, members: set[str]) -> tuple[ArtifactSummary, ...]:
    artifacts: list[ArtifactSummary] = []
    for descriptor, data in image.walk():
        if descriptor.digest in members:
            continue
        blobs = blobs_of(descriptor, data)
        if oci.is_index(data, descriptor.media_type):
            index = oci.read_index(data)
            if not blobs and index.manifests:
                continue
            kind, annotations = index.artifact_type or _find_first_type(blobs), index.annotations
        else:
            manifest = oci.read_manifest(data)
            kind = manifest.artifact_type or manifest.config.media_type
            annotations = manifest.annotations
        artifacts.append(
            ArtifactSummary(
                digest=descriptor.digest,
                artifact_type=kind,
                size=sum(blob.size for blob in blobs) + descriptor.size,
                annotations=annotations,
                blobs=tuple(_summarize_blob(blob) for blob in blobs),
            )
        )
    return tuple(artifacts)


def _find_first_type(blobs: Sequence[Descriptor]) -> str:
    """Return the type of an index of blobs: that of its first blob that is not a layer (a cache's config)."""
    return next((blob.media_type for blob in blobs if ".layer." not in blob.media_type), "")


def _summarize_blob(descriptor: Descriptor) -> BlobSummary:
    return BlobSummary(
        digest=descriptor.digest,
        media_type=descriptor.media_type,
        size=descriptor.size,
        title=descriptor.annotations.get("org.opencontainers.image.title", ""),
    )


def _summarize_platform(image: Image, platform: Platform, records: Records | None) -> PlatformSummary:
    manifest, config, layers = image.manifest(), image.config(), image.layers()
    image_inventory = inventory.read_inventory(image, records)
    comments = _list_layer_comments(config, len(layers))
    return PlatformSummary(
        platform=platforms.format_platform(platform),
        digest=image.root.digest,
        config_digest=manifest.config.digest,
        created=config.created,
        release=image_inventory.release,
        size=sum(layer.descriptor.size for layer in layers) + manifest.config.size + image.root.size,
        unpacked=image_inventory.size,
        files=sum(file.kind != "dir" for file in image_inventory.files),
        config=msgspec.to_builtins(config.config),
        annotations=manifest.annotations,
        layers=tuple(
            LayerSummary(
                digest=layer.descriptor.digest,
                diff_id=layer.diff_id,
                media_type=layer.descriptor.media_type,
                size=layer.descriptor.size,
                unpacked=unpacked,
                comment=comment,
            )
            for layer, unpacked, comment in zip(layers, image_inventory.layer_sizes, comments, strict=True)
        ),
        packages=image_inventory.packages,
        users=image_inventory.users,
        groups=image_inventory.groups,
        set_id=_select_files(
            image_inventory,
            lambda file: file.kind == "file" and bool(file.mode & (stat.S_ISUID | stat.S_ISGID)),
        ),
        capable=_select_files(image_inventory, lambda file: file.capabilities),
        world_writable=_select_files(
            image_inventory, lambda file: file.kind != "symlink" and bool(file.mode & stat.S_IWOTH)
        ),
    )


def _select_files(
    image_inventory: Inventory, predicate: Callable[[FileFact], bool]
) -> tuple[ListedFile, ...]:
    return tuple(inventory.list_file(file) for file in image_inventory.files if predicate(file))


def _list_layer_comments(config: ImageConfig, count: int) -> Sequence[str]:
    """Return the history's comment on each layer; empty ones if the history does not match the layers."""
    comments = [_get_comment(entry) for entry in config.history if not entry.empty_layer]
    return comments if len(comments) == count else [""] * count


def _get_comment(entry: History) -> str:
    return entry.comment or entry.created_by


if TYPE_CHECKING:
    from collections.abc import Callable
