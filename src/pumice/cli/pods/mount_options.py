"""Volumes and other mounts, as options of ``pumice run``, with the spelling and meaning of podman."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pumice.runtime.container import Mount

MOUNT_OPTIONS = (
    "type=bind|volume|tmpfs|image, source=PATH|NAME|REF, target=PATH, readonly, U, nocopy, subpath=PATH,"
    " tmpfs-size=SIZE and tmpfs-mode=MODE"
)
_VOLUME_FLAGS = frozenset(
    {
        *("ro", "rw", "U", "z", "Z", "cached", "delegated", "consistent", "copy", "nocopy"),
        *("nosuid", "nodev", "exec", "rprivate", "private", "rbind", "bind"),
    }
)
"""All but ``ro``, ``U``, ``nocopy``, ``bind``, ``z`` and ``Z`` ask for what is so anyway."""


def parse_volume(text: str) -> Mount:
    """Return the mount that ``SRC:DST[:ro|:rw]`` describes; raises UsageError.

    As with podman, SRC is the name of a volume unless it has a slash or begins with a dot; DST alone is an
    empty directory in memory.
    """
    from pumice.runtime.volumes.volume_store import is_volume_name

    source, colon, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    flags = set(filter(None, mode.split(",")))
    if not colon and source.startswith("/"):
        return _make_empty_volume(source)
    if source and target and (unknown := sorted(flags - _VOLUME_FLAGS)):
        raise UsageError(
            f"unknown option {unknown[0]!r} in {text!r}", hint="use ro, rw, U, nocopy, bind or rbind"
        )
    if not source or not target or {"ro", "rw"} <= flags or {"bind", "rbind"} <= flags:
        raise UsageError(
            f"{text!r} is not a volume",
            hint="write SRC:DST or NAME:DST, with :ro for read-only, such as ./data:/var/lib/app",
        )
    read_only, owned, relabel = "ro" in flags, "U" in flags, bool({"z", "Z"} & flags)
    if is_volume_name(source):
        return _make_volume_mount(
            source, target, read_only=read_only, owned=owned, copies="nocopy" not in flags, relabel=relabel
        )
    return _make_bind_mount(
        source, target, read_only=read_only, owned=owned, recursive="bind" not in flags, relabel=relabel
    )


def plan_mounts(options: argparse.Namespace) -> Iterator[Mount]:
    """Yield the mounts of ``--mount`` and ``--tmpfs``; raises UsageError."""
    for text in options.mount:
        yield _parse_mount(text)
    for text in options.tmpfs:
        target, _, values = text.partition(":")
        yield _tmpfs("--tmpfs", target, values)


def _tmpfs(option: str, target: str, values: str) -> Mount:
    from pumice.runtime.container import Mount
    from pumice.runtime.isolation.option_values import parse_tmpfs_options

    _check_target(target)
    data, read_only, no_exec = parse_tmpfs_options(option, values)
    return Mount("", target, read_only, data, no_exec)


def _check_target(target: str) -> None:
    """Raise UsageError for a mount point that is not an absolute path below the root."""
    if not target.startswith("/") or target.rstrip("/") == "":
        hint = "write an absolute path, such as /var/lib/app"
        raise UsageError(f"the mount point {target!r} is not an absolute path below /", hint=hint)


_SYNONYMS = {
    "src": "source",
    "dst": "target",
    "destination": "target",
    "ro": "readonly",
    "rw": "readwrite",
    "U": "chown",
    "volume-nocopy": "nocopy",
    "image-subpath": "subpath",
}
_KINDS = {
    "bind": (
        *("source", "target", "readonly", "readwrite", "chown", "relabel"),
        *("bind-propagation", "bind-nonrecursive"),
    ),
    "volume": ("source", "target", "readonly", "readwrite", "chown", "nocopy"),
    "tmpfs": ("target", "readonly", "readwrite", "tmpfs-size", "tmpfs-mode", "notmpcopyup"),
    "image": ("source", "target", "readonly", "subpath"),
}
_FLAGS = ("readonly", "readwrite", "chown", "nocopy", "notmpcopyup", "bind-nonrecursive")
_PROPAGATION = ("private", "rprivate")


def _parse_mount(text: str) -> Mount:
    fields = _parse_mount_fields(text)
    kind, source, target = fields["type"], fields.get("source", ""), fields.get("target", "")
    read_only = fields.get("readonly") == "true" or fields.get("readwrite") == "false"
    owned = fields.get("chown") == "true"
    if kind == "bind":
        recursive = fields.get("bind-nonrecursive") != "true"
        relabel = "relabel" in fields
        return _make_bind_mount(
            source, target, read_only=read_only, owned=owned, recursive=recursive, relabel=relabel
        )
    if kind == "volume" and not source:
        return _make_empty_volume(target)
    if kind == "volume":
        copies = fields.get("nocopy") != "true"
        return _make_volume_mount(source, target, read_only=read_only, owned=owned, copies=copies)
    if kind == "image":
        return _make_image_mount(source, target, fields.get("subpath", ""))
    values = [f"{name}={fields[f'tmpfs-{name}']}" for name in ("size", "mode") if f"tmpfs-{name}" in fields]
    return _tmpfs("--mount", target, ",".join([*values, *(["ro"] if read_only else []), "exec"]))


def _parse_mount_fields(text: str) -> dict[str, str]:
    """Return the options of a mount by their first names; raises UsageError."""
    fields: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        fields[_SYNONYMS.get(name, name)] = value if equals else "true"
    # Without a type, it is what --volume would mean.
    kind = fields.setdefault("type", "bind" if set("/.") & set(fields.get("source", "")) else "volume")
    if kind not in _KINDS:
        raise UsageError(f"--mount: {text[:80]!r} is not a mount", hint=f"use {MOUNT_OPTIONS}")
    for name, value in fields.items():
        if name != "type" and name not in _KINDS[kind]:
            raise UsageError(
                f"--mount: unknown option {name[:60]} of type={kind}", hint=f"use {MOUNT_OPTIONS}"
            )
        if (name in _FLAGS and value not in ("true", "false")) or (
            name == "bind-propagation" and value not in _PROPAGATION
        ):
            raise UsageError(f"--mount: {name} cannot be {value[:40]!r}", hint=f"use {MOUNT_OPTIONS}")
    return fields


def _make_volume_mount(
    name: str, target: str, *, read_only: bool, owned: bool, copies: bool, relabel: bool = False
) -> Mount:
    """Return the mount of a named volume, which is created when it is mounted; raises UsageError."""
    from pumice.runtime.container import Mount
    from pumice.runtime.volumes.volume_store import check_name

    _check_target(target)
    return Mount("", target, read_only, owned=owned, volume=check_name(name), copies=copies, relabel=relabel)


def _make_empty_volume(target: str) -> Mount:
    """Return an empty directory that everybody can write to, and that ends with the container."""
    from pumice.runtime.container import Mount

    _check_target(target)
    return Mount("", target)


def _make_image_mount(reference: str, target: str, subpath: str) -> Mount:
    from pumice.runtime.container import Mount

    _check_target(target)
    if not reference:
        raise UsageError("--mount: type=image has no source", hint="write source=REF, such as box:1")
    return Mount("", target, read_only=True, image=reference, subpath=subpath)


def _make_bind_mount(
    source: str, target: str, *, read_only: bool, owned: bool, recursive: bool, relabel: bool
) -> Mount:
    """Return the mount of a file or directory of the host, which must exist; raises UsageError."""
    from pathlib import Path

    from pumice.runtime.container import Mount

    _check_target(target)
    if not source or not Path(source).exists():
        raise UsageError(
            f"cannot mount {source!r}: no such file or directory", hint="create the directory first"
        )
    if owned and len(Path(os.path.realpath(source)).parts) < 3:
        raise UsageError(
            f"cannot give {source!r} to the user of the program: the machine needs it",
            hint="mount a directory below it, such as /srv/app/data",
        )
    path = os.path.realpath(source)
    return Mount(path, target, read_only, owned=owned, recursive=recursive, relabel=relabel)
