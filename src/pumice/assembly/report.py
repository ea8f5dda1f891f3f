"""The report of a build, ``pumice build --report``, and its summary of skipped script actions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice.omission import reasons as omission_reasons
from pumice.terminal import format_count

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.assembly.image import BuiltImage
    from pumice.assembly.platform_model import PlatformImage
    from pumice.recipe.lock import Lock, LockedPackage
    from pumice.recipe.model import Recipe


MINOR_ACTIONS = frozenset(
    [
        "apparmor",
        "byte code",
        "debconf",
        "hardware database",
        "info",
        "initramfs",
        "journal",
        "kernel modules",
        "services",
        "ucf registry",
    ]
)
"""Kinds of skipped actions that a container does not need: services, bookkeeping, hardware."""

_MAX_KINDS = 4


class SkippedActions(msgspec.Struct, frozen=True):
    """A summary of the skipped actions of maintainer scripts; minor ones hardly matter in a container."""

    summary: str
    is_minor: bool


def summarize_skipped_actions(
    images: Iterable[PlatformImage], report_path: str = ""
) -> SkippedActions | None:
    """Return a summary of the skipped actions of ``images``, None if there are none.

    Minor kinds are named only if there are no others. ``report_path`` is the file of the report,
    empty if none is written.
    """
    kinds: dict[str, set[str]] = {}
    for image in images:
        for package, actions in image.skipped_actions.items():
            for action in actions:
                kinds.setdefault(action, set()).add(package)
    if not kinds:
        return None
    major = {kind: packages for kind, packages in kinds.items() if kind not in MINOR_ACTIONS}
    listed_kinds = major or kinds
    count = len({package for packages in listed_kinds.values() for package in packages})
    ordered = sorted(listed_kinds, key=lambda kind: (-len(listed_kinds[kind]), kind))
    texts = [f"{kind} ({len(listed_kinds[kind])})" for kind in ordered[:_MAX_KINDS]]
    hidden = len(ordered) - _MAX_KINDS
    texts += [format_count(hidden, "more kind")] if hidden > 0 else []
    reference = f"see {report_path}" if report_path else "see --report FILE"
    packages = format_count(count, "package")
    summary = f"skipped actions of {packages}: {', '.join(texts)}; {reference}"
    return SkippedActions(summary, is_minor=not major)


def encode_report(recipe: Recipe, lock: Lock, image: BuiltImage) -> bytes:
    """Return the report as JSON: layers, packages, ids, files that commands wrote, and skipped actions.

    Equal builds give equal reports, because it holds no time, path or machine.
    """
    document = {
        "name": recipe.name,
        "version": recipe.version,
        "digest": image.root.digest,
        "format": lock.format,
        "platforms": {
            architecture: _platform(platform_image, lock.packages[architecture])
            for architecture, platform_image in sorted(image.platforms.items())
        },
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _platform(image: PlatformImage, packages: tuple[LockedPackage, ...]) -> dict[str, Any]:
    return {
        "manifest": image.manifest.digest,
        "created": image.created,
        "size": sum(layer.size for _, layer in image.layers),
        "unpacked_size": sum(layer.tar_size for _, layer in image.layers),
        "layers": [
            {"holds": name, "digest": layer.digest, "diff_id": layer.diff_id, "size": layer.size}
            for name, layer in image.layers
        ],
        "packages": [
            {
                "name": package.name,
                "version": package.version,
                "role": package.role,
                "scripts_not_run": list(image.skipped_actions.get(package.name, ())),
            }
            for package in packages
            if package.name not in image.omission.names
        ],
        "omitted": [
            {
                "name": package.name,
                "version": package.version,
                "needed_by": list(package.needed_by),
                "reason": omission_reasons.describe_omission(package),
                "not_kept_for": [omission_reasons.describe_use(use) for use in package.unused_by],
            }
            for package in image.omission.omitted
        ],
        "kept_because_used": {use.package: omission_reasons.describe_use(use) for use in image.omission.kept},
        "ids": image.ids,
        "excluded": [msgspec.to_builtins(use) for use in image.excluded],
        "generated": [f"/{path}" for path in image.generated.kept],
        "generated_and_dropped": [f"/{path}" for path in image.generated.dropped],
        "not_reproducible": [f"/{path}" for path in image.not_reproducible],
        "notes": list(image.notes),
    }
