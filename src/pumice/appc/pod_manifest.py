"""Pod manifests (spec/pods.md, "Pod Manifest Schema")."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.appc import names
from pumice.appc.app import App, Port, read_app, read_port
from pumice.appc.findings import Findings
from pumice.appc.image_manifest import MAX_MANIFEST, encode_document
from pumice.appc.isolators import Isolator, read_isolators
from pumice.appc.labels import Annotation, Label, read_annotations, read_labels
from pumice.appc.members import Members, check_unique
from pumice.appc.volumes import Volume, read_volume
from pumice.errors import FormatError
from pumice.formats import strictjson

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLACE = "manifest"
_MEMBERS = (
    "acKind",
    "acVersion",
    "apps",
    "volumes",
    "isolators",
    "annotations",
    "ports",
    "userAnnotations",
    "userLabels",
)
_APP_MEMBERS = ("name", "image", "app", "readOnlyRootFS", "mounts", "annotations")


class RuntimeImage(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The image of an app, by its ID."""

    id: str
    name: str = ""
    labels: tuple[Label, ...] = ()


class Mount(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    """A volume of the pod, or ``app_volume`` of this app alone, and where the app sees it."""

    volume: str
    path: str
    app_volume: Volume | None = None


class RuntimeApp(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    """One app of a pod. ``app`` replaces the app of the image as a whole."""

    name: str
    image: RuntimeImage
    app: App | None = None
    read_only_root_fs: bool = msgspec.field(default=False, name="readOnlyRootFS")
    mounts: tuple[Mount, ...] = ()
    annotations: tuple[Annotation, ...] = ()


class ExposedPort(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    """A port of an app, by its name, that is forwarded from a port of the host.

    ``pod_port`` is an app's port that is declared here rather than by name.
    """

    name: str
    host_port: int
    host_ip: str = msgspec.field(default="", name="hostIP")
    pod_port: Port | None = None


class PodManifest(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    """The manifest of a pod."""

    ac_kind: str = msgspec.field(default_factory=lambda: names.POD_KIND)
    ac_version: str = msgspec.field(default_factory=lambda: names.VERSION)
    apps: tuple[RuntimeApp, ...] = ()
    volumes: tuple[Volume, ...] = ()
    isolators: tuple[Isolator, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    ports: tuple[ExposedPort, ...] = ()
    user_annotations: dict[str, str] = {}
    user_labels: dict[str, str] = {}


def read_pod_manifest(data: bytes, *, strict: bool = False) -> tuple[PodManifest, tuple[str, ...]]:
    """Return a pod manifest, and warnings about what the specification does not allow.

    Raises FormatError; with ``strict``, also for what would be a warning.
    """
    findings = Findings(strict=strict)
    document = strictjson.read_object(data, "pod manifest", limit=MAX_MANIFEST)
    members = Members(document, _PLACE, _MEMBERS, findings)
    kind = members.text("acKind")
    if kind != names.POD_KIND:
        raise FormatError(f"the document is a {kind[:40]!r}, not a {names.POD_KIND}", where=_PLACE)
    manifest = PodManifest(
        ac_version=names.check_version(members.text("acVersion"), members.place("acVersion")),
        apps=members.items("apps", lambda item, where: _read_runtime_app(item, where, findings)),
        volumes=members.items("volumes", lambda item, where: read_volume(item, where, findings)),
        isolators=read_isolators(members, "pod"),
        annotations=read_annotations(members),
        ports=members.items("ports", lambda item, where: _read_exposed_port(item, where, findings)),
        user_annotations=members.table("userAnnotations"),
        user_labels=members.table("userLabels"),
    )
    check_unique([app.name for app in manifest.apps], "apps", "app")
    check_unique([volume.name for volume in manifest.volumes], "volumes", "volume")
    check_unique([port.name for port in manifest.ports], "ports", "port")
    _check_mounts(manifest.apps, {volume.name for volume in manifest.volumes}, findings)
    return manifest, findings.warnings


def encode_pod_manifest(manifest: PodManifest) -> bytes:
    """Return the bytes of a manifest, the same for equal ones; raises FormatError if it is not valid."""
    data = encode_document(manifest)
    read_pod_manifest(data, strict=True)
    return data


def is_pod_manifest(data: bytes) -> bool:
    """Return whether a document says that it is a pod manifest; never raises."""
    try:
        document = strictjson.read_object(data, "manifest", limit=MAX_MANIFEST)
    except FormatError:
        return False
    return document.get("acKind") == names.POD_KIND


def _read_runtime_app(value: Any, where: str, findings: Findings) -> RuntimeApp:
    members = Members(value, where, _APP_MEMBERS, findings)
    return RuntimeApp(
        name=names.check_name(members.text("name"), members.place("name"), findings),
        image=_read_runtime_image(members.get("image"), members.place("image"), findings),
        app=read_app(members.get("app"), members.place("app"), findings) if members.has("app") else None,
        read_only_root_fs=members.flag("readOnlyRootFS"),
        mounts=members.items("mounts", lambda item, place: _read_mount(item, place, findings)),
        annotations=read_annotations(members),
    )


def _read_runtime_image(value: Any, where: str, findings: Findings) -> RuntimeImage:
    members = Members(value, where, ("id", "name", "labels"), findings)
    has_name = members.has("name")
    return RuntimeImage(
        id=names.check_image_id(members.text("id"), members.place("id")),
        name=names.check_identifier(members.text("name"), members.place("name"), findings)
        if has_name
        else "",
        labels=read_labels(members),
    )


def _read_mount(value: Any, where: str, findings: Findings) -> Mount:
    members = Members(value, where, ("volume", "path", "appVolume"), findings)
    place = members.place("appVolume")
    return Mount(
        volume=names.check_name(members.text("volume"), members.place("volume"), findings),
        path=names.check_absolute_path(members.text("path"), members.place("path")),
        app_volume=(
            read_volume(members.get("appVolume"), place, findings) if members.has("appVolume") else None
        ),
    )


def _read_exposed_port(value: Any, where: str, findings: Findings) -> ExposedPort:
    members = Members(value, where, ("name", "hostPort", "hostIP", "podPort"), findings)
    host_ip = members.text("hostIP", "")
    if host_ip:
        try:
            ipaddress.ip_address(host_ip)
        except ValueError:
            raise FormatError(f"{host_ip[:60]!r} is not an IP address", where=where) from None
    return ExposedPort(
        name=names.check_name(members.text("name"), members.place("name"), findings),
        host_port=members.number("hostPort", least=1, most=65535),
        host_ip=host_ip,
        pod_port=(
            read_port(members.get("podPort"), members.place("podPort"), findings)
            if members.has("podPort")
            else None
        ),
    )


def _check_mounts(apps: Iterable[RuntimeApp], volumes: set[str], findings: Findings) -> None:
    for app in apps:
        for mount in app.mounts:
            if mount.app_volume is None and mount.volume not in volumes:
                findings.warn(f"app {app.name!r}", f"the pod has no volume {mount.volume!r}")
