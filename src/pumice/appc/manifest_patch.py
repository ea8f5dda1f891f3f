"""Changes to an image manifest, as actool's ``patch-manifest`` spells them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.appc import isolators
from pumice.appc.app import App
from pumice.appc.app_strings import parse_mount_point, parse_port
from pumice.appc.isolators import Isolator
from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.appc.image_manifest import ImageManifest

_RESOURCES = (
    isolators.CPU,
    isolators.MEMORY,
    isolators.BLOCK_BANDWIDTH,
    isolators.BLOCK_OPERATIONS,
    isolators.NETWORK_BANDWIDTH,
)
_MODES = {"retain": isolators.RETAIN_SYSCALLS, "remove": isolators.REMOVE_SYSCALLS}


class ManifestPatch(msgspec.Struct, frozen=True, kw_only=True):
    """New values as a command line has them; "" leaves the value of the manifest."""

    name: str = ""
    exec: str = ""
    user: str = ""
    group: str = ""
    supplementary_groups: str = ""
    capability: str = ""
    revoke_capability: str = ""
    mounts: str = ""
    ports: str = ""
    isolators: str = ""
    seccomp_mode: str = ""
    seccomp_set: str = ""


def apply_patch(manifest: ImageManifest, patch: ManifestPatch) -> ImageManifest:
    """Return a changed manifest, which `encode_image_manifest` checks; raises UsageError, FormatError."""
    app_changes = _read_app_changes(patch)
    new_isolators = _read_isolators(patch)
    app = manifest.app
    if app_changes or new_isolators:
        app = app or App(user=patch.user or "0", group=patch.group or "0")
        replaced = {isolator.name for isolator in new_isolators} | _excluded(new_isolators)
        kept = tuple(isolator for isolator in app.isolators if isolator.name not in replaced)
        app = msgspec.structs.replace(app, **app_changes, isolators=(*kept, *new_isolators))
    return msgspec.structs.replace(manifest, name=patch.name or manifest.name, app=app)


def _read_app_changes(patch: ManifestPatch) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if patch.exec:
        try:
            changes["exec"] = tuple(shlex.split(patch.exec))
        except ValueError as error:
            raise UsageError(f"cannot read --exec: {str(error).lower()}") from None
    if patch.user:
        changes["user"] = patch.user
    if patch.group:
        changes["group"] = patch.group
    if patch.supplementary_groups:
        changes["supplementary_gids"] = tuple(map(_parse_id, patch.supplementary_groups.split(",")))
    if patch.mounts:
        changes["mount_points"] = tuple(parse_mount_point(text) for text in patch.mounts.split(":"))
    if patch.ports:
        changes["ports"] = tuple(parse_port(text) for text in patch.ports.split(":"))
    return changes


def _read_isolators(patch: ManifestPatch) -> list[Isolator]:
    new: list[Isolator] = []
    if patch.capability:
        new.append(Isolator(isolators.RETAIN_CAPABILITIES, {"set": patch.capability.split(",")}))
    if patch.revoke_capability:
        new.append(Isolator(isolators.REMOVE_CAPABILITIES, {"set": patch.revoke_capability.split(",")}))
    if patch.isolators:
        new += [_parse_isolator(text) for text in patch.isolators.split(":")]
    if patch.seccomp_mode or patch.seccomp_set:
        new.append(_parse_seccomp(patch))
    return new


def _parse_isolator(text: str) -> Isolator:
    name, *pairs = text.split(",")
    if name not in _RESOURCES:
        raise UsageError(
            f"{name[:60]!r} is not an isolator with amounts", hint=f"use one of {', '.join(_RESOURCES)}"
        )
    value: dict[str, Any] = {}
    for pair in pairs:
        key, equals, amount = pair.partition("=")
        if not equals or key in value:
            raise UsageError(f"{pair[:60]!r} is not NAME=VALUE, or is given twice")
        value[key] = amount == "true" if key == "default" else amount
    return Isolator(name, value)


def _parse_seccomp(patch: ManifestPatch) -> Isolator:
    mode, _, errno = patch.seccomp_mode.partition(",errno=")
    if mode not in _MODES or not patch.seccomp_set:
        raise UsageError(
            "--seccomp-mode and --seccomp-set belong together",
            hint="for example: --seccomp-mode retain,errno=EPERM --seccomp-set read,write",
        )
    value: dict[str, Any] = {"set": patch.seccomp_set.split(",")}
    return Isolator(_MODES[mode], {**value, "errno": errno} if errno else value)


def _excluded(new: Iterable[Isolator]) -> set[str]:
    """Return the isolators that new ones exclude."""
    pairs = (
        (isolators.RETAIN_CAPABILITIES, isolators.REMOVE_CAPABILITIES),
        (isolators.RETAIN_SYSCALLS, isolators.REMOVE_SYSCALLS),
    )
    names = {isolator.name for isolator in new}
    return {other for pair in pairs for name, other in (pair, pair[::-1]) if name in names}


def _parse_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 11):
        raise UsageError(f"{text[:40]!r} is not a group ID")
    return int(text)
