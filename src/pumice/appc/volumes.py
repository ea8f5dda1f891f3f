"""Volumes of pods (spec/pods.md, "Pod Manifest Schema", ``volumes``)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from pumice.appc import names
from pumice.appc.members import Members
from pumice.errors import FormatError

if TYPE_CHECKING:
    from pumice.appc.findings import Findings

_MODE = re.compile(r"[0-7]{1,5}")
_MAX_ID = (1 << 32) - 2
_HOST_MEMBERS = ("source", "readOnly", "recursive")
_EMPTY_MEMBERS = ("mode", "uid", "gid", "readOnly")


class Volume(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    """A directory or file of the host, or an empty directory that lives as long as the pod.

    ``source`` and ``recursive`` are for the kind ``host``, ``mode`` (octal), ``uid`` and ``gid`` for
    ``empty``. An empty volume can be read-only too.
    """

    name: str
    kind: Literal["host", "empty"]
    source: str = ""
    read_only: bool = False
    recursive: bool | None = None
    """None means true."""
    mode: str = ""
    """"" means 0755."""
    uid: int = 0
    gid: int = 0


def read_volume(value: Any, where: str, findings: Findings) -> Volume:
    """Return a volume; raises FormatError."""
    members = Members(value, where, ("name", "kind", *_HOST_MEMBERS, *_EMPTY_MEMBERS), findings)
    name = names.check_name(members.text("name"), members.place("name"), findings)
    kind = members.text("kind")
    if kind == "host":
        _reject_members(members, [each for each in _EMPTY_MEMBERS if each != "readOnly"], kind)
        return Volume(
            name=name,
            kind="host",
            source=names.check_absolute_path(members.text("source"), members.place("source")),
            read_only=members.flag("readOnly"),
            recursive=members.flag("recursive") if members.has("recursive") else None,
        )
    if kind == "empty":
        _reject_members(members, ["source", "recursive"], kind)
        return Volume(
            name=name,
            kind="empty",
            read_only=members.flag("readOnly"),
            mode=_read_mode(members),
            uid=members.number("uid", 0, most=_MAX_ID),
            gid=members.number("gid", 0, most=_MAX_ID),
        )
    raise FormatError(f"there is no kind of volume {kind[:40]!r}", where=where, hint="use host or empty")


def _reject_members(members: Members, unusable: list[str], kind: str) -> None:
    for name in unusable:
        if members.has(name):
            raise FormatError(f"a volume of the kind {kind!r} has no {name!r}", where=members.where)


def _read_mode(members: Members) -> str:
    mode = members.text("mode", "")
    if mode and not (_MODE.fullmatch(mode) and int(mode, 8) <= 0o7777):
        raise FormatError(f"{mode[:40]!r} is not an octal mode", where=members.place("mode"))
    return mode
