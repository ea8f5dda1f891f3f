"""What ``pumice inspect`` says of an image: one value, printed as text or as JSON."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.formats import platforms
from pumice.image import facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.formats.oci import History, ImageConfig, Platform
    from pumice.image.facts import Facts, FileFact, PackageFact, User
    from pumice.image.model import Image
    from pumice.image.stamps import Records


class LayerSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One layer; ``size`` is bytes as it lies, ``unpacked`` bytes of its files."""

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
    set_id: tuple[FileFact, ...]
    """Files that run as their owner or group."""
    capable: tuple[FileFact, ...]
    """Files with capabilities."""
    world_writable: tuple[FileFact, ...]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """An image with all its platforms, or those asked for."""

    digest: str
    media_type: str
    size: int
    """Bytes of all layers and documents, each counted once."""
    platforms: tuple[PlatformSummary, ...]


def summarise(image: Image, platform: Platform | None = None, records: Records | None = None) -> Summary:
    """Look at an image, or at one platform of it. Raises what reading it does."""
    from pumice.image.model import contents

    if platform is not None:
        image = image.select(platform)
    members = image.members() or image.select().members()  # the latter says that it is an artifact
    return Summary(
        digest=image.root.digest,
        media_type=image.root.media_type,
        size=sum(descriptor.size for descriptor in contents(image)),
        platforms=tuple(_platform(image.at(descriptor), known, records) for descriptor, known in members),
    )


def _platform(image: Image, platform: Platform, records: Records | None) -> PlatformSummary:
    manifest, config, layers = image.manifest(), image.config(), image.layers()
    found = facts.gather(image, records)
    comments = _comments(config, len(layers))
    return PlatformSummary(
        platform=platforms.text(platform),
        digest=image.root.digest,
        config_digest=manifest.config.digest,
        created=config.created,
        release=found.release,
        size=sum(layer.descriptor.size for layer in layers) + manifest.config.size + image.root.size,
        unpacked=found.size,
        files=sum(file.kind != "dir" for file in found.files),
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
            for layer, unpacked, comment in zip(layers, found.layer_sizes, comments, strict=True)
        ),
        packages=found.packages,
        users=found.users,
        groups=found.groups,
        set_id=_with(
            found, lambda file: file.kind == "file" and bool(file.mode & (stat.S_ISUID | stat.S_ISGID))
        ),
        capable=_with(found, lambda file: file.capabilities),
        world_writable=_with(found, lambda file: file.kind != "symlink" and bool(file.mode & stat.S_IWOTH)),
    )


def _with(found: Facts, is_so: Callable[[FileFact], bool]) -> tuple[FileFact, ...]:
    return tuple(file for file in found.files if is_so(file))


def _comments(config: ImageConfig, count: int) -> Sequence[str]:
    """Return what the history says of each layer; nothing when it does not fit the layers."""
    told = [_comment(entry) for entry in config.history if not entry.empty_layer]
    return told if len(told) == count else [""] * count


def _comment(entry: History) -> str:
    return entry.comment or entry.created_by


if TYPE_CHECKING:
    from collections.abc import Callable
