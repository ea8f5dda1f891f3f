"""An app: how the program of an image runs (spec/aci.md, "Image Manifest Schema", ``app``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice.appc import names
from pumice.appc.isolators import Isolator, read_isolators
from pumice.appc.labels import Variable, read_environment
from pumice.appc.members import Members, check_number, check_unique
from pumice.errors import FormatError

if TYPE_CHECKING:
    from pumice.appc.findings import Findings

PRE_START = "pre-start"
POST_STOP = "post-stop"
_MAX_ID = (1 << 32) - 2
_MEMBERS = (
    "exec",
    "eventHandlers",
    "user",
    "group",
    "supplementaryGIDs",
    "workingDirectory",
    "environment",
    "mountPoints",
    "ports",
    "isolators",
    "userAnnotations",
    "userLabels",
)


class EventHandler(msgspec.Struct, frozen=True):
    """A program that runs before the app starts or after it has stopped."""

    name: str
    exec: tuple[str, ...]


class MountPoint(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A directory or file of the app where a volume is mounted."""

    name: str
    path: str
    read_only: bool = False


class Port(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """``count`` ports from ``port`` on which the app listens, or that are passed to it as open sockets."""

    name: str
    protocol: str
    port: int
    count: int = 1
    socket_activated: bool = False


class App(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    """How the program of an image runs.

    ``user`` and ``group`` are names, numbers, or the absolute path of a file of the image whose owner counts.
    """

    user: str
    group: str
    exec: tuple[str, ...] = ()
    event_handlers: tuple[EventHandler, ...] = ()
    supplementary_gids: tuple[int, ...] = msgspec.field(default=(), name="supplementaryGIDs")
    working_directory: str = ""
    environment: tuple[Variable, ...] = ()
    mount_points: tuple[MountPoint, ...] = ()
    ports: tuple[Port, ...] = ()
    isolators: tuple[Isolator, ...] = ()
    user_annotations: dict[str, str] = {}
    user_labels: dict[str, str] = {}


def read_app(value: object, where: str, findings: Findings) -> App:
    """Return the app of an image or a pod; raises FormatError."""
    members = Members(value, where, _MEMBERS, findings)
    working_directory = members.text("workingDirectory", "")
    if working_directory:
        names.check_absolute_path(working_directory, members.place("workingDirectory"))
    mount_points = members.items("mountPoints", lambda item, place: _read_mount_point(item, place, findings))
    ports = members.items("ports", lambda item, place: read_port(item, place, findings))
    check_unique([point.name for point in mount_points], members.place("mountPoints"), "mount point")
    check_unique([port.name for port in ports], members.place("ports"), "port")
    return App(
        user=_read_owner(members, "user"),
        group=_read_owner(members, "group"),
        exec=members.texts("exec"),
        event_handlers=_read_event_handlers(members),
        supplementary_gids=members.items(
            "supplementaryGIDs", lambda item, place: check_number(item, place, most=_MAX_ID)
        ),
        working_directory=working_directory,
        environment=read_environment(members),
        mount_points=mount_points,
        ports=ports,
        isolators=read_isolators(members, "app"),
        user_annotations=members.table("userAnnotations"),
        user_labels=members.table("userLabels"),
    )


def check_mount_point(point: MountPoint, where: str, findings: Findings) -> MountPoint:
    """Return a mount point; raises FormatError."""
    names.check_name(point.name, f"{where}.name", findings)
    names.check_absolute_path(point.path, f"{where}.path")
    return point


def check_port(port: Port, where: str, findings: Findings) -> Port:
    """Return a port; raises FormatError."""
    names.check_name(port.name, f"{where}.name", findings)
    if not port.protocol:
        raise FormatError("the protocol is empty", where=where)
    if port.protocol not in ("tcp", "udp"):
        findings.warn(where, f"{port.protocol[:40]!r} is neither tcp nor udp")
    if port.port + port.count > 65536:
        raise FormatError(f"{port.count} ports from {port.port} on are beyond 65535", where=where)
    return port


def _read_mount_point(value: Any, where: str, findings: Findings) -> MountPoint:
    members = Members(value, where, ("name", "path", "readOnly"), findings)
    point = MountPoint(members.text("name"), members.text("path"), members.flag("readOnly"))
    return check_mount_point(point, where, findings)


def read_port(value: Any, where: str, findings: Findings) -> Port:
    """Return a port; raises FormatError."""
    members = Members(value, where, ("name", "protocol", "port", "count", "socketActivated"), findings)
    port = Port(
        members.text("name"),
        members.text("protocol"),
        members.number("port", least=1, most=65535),
        members.number("count", 1, least=1, most=65535),
        members.flag("socketActivated"),
    )
    return check_port(port, where, findings)


def _read_owner(members: Members, name: str) -> str:
    owner = members.text(name)
    if not owner:
        raise FormatError("the name is empty", where=members.place(name), hint='write "0" for root')
    if owner.startswith("/"):
        return names.check_absolute_path(owner, members.place(name))
    if (
        owner.isascii()
        and owner.lstrip("-").isdigit()
        and not (owner.isdigit() and int(owner[:12]) <= _MAX_ID)
    ):
        raise FormatError(f"{owner[:40]!r} is not an ID", where=members.place(name))
    return owner


def _read_event_handlers(members: Members) -> tuple[EventHandler, ...]:
    findings = members.findings

    def read(value: Any, where: str) -> EventHandler:
        handler_members = Members(value, where, ("name", "exec"), findings)
        handler = EventHandler(handler_members.text("name"), handler_members.texts("exec"))
        if handler.name not in (PRE_START, POST_STOP):
            raise FormatError(
                f"there is no event {handler.name[:40]!r}",
                where=where,
                hint=f"use {PRE_START} or {POST_STOP}",
            )
        if not handler.exec:
            findings.warn(where, "the event handler has no program")
        return handler

    handlers = members.items("eventHandlers", read)
    check_unique([handler.name for handler in handlers], members.place("eventHandlers"), "event handler")
    return handlers
