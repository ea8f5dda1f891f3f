"""Values of the App Container specification as they are written on command lines.

An image is ``NAME[:VERSION][,LABEL=VALUE...]``, a volume ``NAME,kind=host,source=/x``, a mount point
``NAME,path=/x`` and a port ``NAME,protocol=tcp,port=80`` (schema/types of the specification, ``FromString``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice.appc import names
from pumice.appc.app import MountPoint, Port, check_mount_point, read_port
from pumice.appc.findings import Findings
from pumice.appc.labels import Label
from pumice.appc.volumes import Volume, read_volume
from pumice.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_TEXT = 8192


class ImageReference(msgspec.Struct, frozen=True):
    """The name of an image and the labels that it must have; the version is a label."""

    name: str
    labels: tuple[Label, ...] = ()


def parse_image_reference(text: str) -> ImageReference:
    """Return an image reference; raises FormatError. Values may be escaped as in URLs."""
    from urllib.parse import unquote

    findings = Findings(strict=True)
    if len(text) > _MAX_TEXT:
        raise FormatError("the name of the image is too long")
    head, *pairs = text.split(",")
    name, colon, version = head.partition(":")
    if ":" in version or (colon and not version):
        raise FormatError(
            f"{text[:100]!r} is not the name of an image", hint="write NAME[:VERSION][,LABEL=VALUE]"
        )
    names.check_identifier(name, text[:100], findings)
    labels = {"version": version} if colon else {}
    for pair in pairs:
        label, equals, value = pair.partition("=")
        if not equals or label == "name" or label in labels:
            raise FormatError(f"{pair[:100]!r} is not a label, or is given twice", where=text[:100])
        labels[names.check_identifier(label, text[:100], findings)] = unquote(value)
    return ImageReference(name, tuple(Label(label, value) for label, value in labels.items()))


def parse_volume(text: str) -> Volume:
    """Return a volume of a pod; raises FormatError."""
    values = _split(
        text, {"readOnly": _parse_flag, "recursive": _parse_flag, "uid": _parse_number, "gid": _parse_number}
    )
    return read_volume(values, "volume", Findings(strict=True))


def parse_mount_point(text: str) -> MountPoint:
    """Return a mount point of an app; raises FormatError."""
    values = _split(text, {"readOnly": _parse_flag})
    for name in values:
        if name not in ("name", "path", "readOnly"):
            raise FormatError(f"a mount point has no {name[:40]!r}", where=text[:100])
    point = MountPoint(values["name"], values.get("path", ""), values.get("readOnly", False))
    return check_mount_point(point, "mount point", Findings(strict=True))


def parse_port(text: str) -> Port:
    """Return a port of an app; raises FormatError."""
    values = _split(text, {"port": _parse_number, "count": _parse_number, "socketActivated": _parse_flag})
    return read_port(values, "port", Findings(strict=True))


def _split(text: str, readers: dict[str, Callable[[str, str], Any]]) -> dict[str, Any]:
    if len(text) > _MAX_TEXT:
        raise FormatError("the value is too long")
    head, *pairs = text.split(",")
    values: dict[str, Any] = {"name": head}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or name in values:
            raise FormatError(f"{pair[:100]!r} is not NAME=VALUE, or is given twice", where=text[:100])
        values[name] = readers[name](value, text) if name in readers else value
    return values


def _parse_flag(value: str, text: str) -> bool:
    if value not in ("true", "false"):
        raise FormatError(f"expected true or false, not {value[:40]!r}", where=text[:100])
    return value == "true"


def _parse_number(value: str, text: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 12):
        raise FormatError(f"expected a number, not {value[:40]!r}", where=text[:100])
    return int(value)
