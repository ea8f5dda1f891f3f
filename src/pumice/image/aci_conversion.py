"""Conversion between the config of an OCI image and the manifest of an App Container image.

What one format has no field for is kept: members of an OCI config in ``app.userAnnotations`` as JSON, and an
App Container manifest as an annotation of the OCI manifest. Both count only if they agree with the native
fields, which another tool may have changed meanwhile.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.appc import names
from pumice.appc.app import App, MountPoint, Port
from pumice.appc.image_manifest import ImageManifest, encode_image_manifest, read_image_manifest
from pumice.appc.labels import Annotation, Label, Variable, find_value
from pumice.errors import FormatError, UsageError
from pumice.formats import oci, strictjson
from pumice.image.aci_platforms import ARCHITECTURES, OCI_PLATFORMS, find_architecture

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pumice.digest import Digest

TITLE = "org.opencontainers.image.title"
VERSION = "org.opencontainers.image.version"
APPC_MANIFEST = "dev.pumice.appc.manifest"
"""The annotation of an OCI manifest with the manifest of the App Container image that it comes from."""
APPC_IMAGE_ID = "dev.pumice.appc.image-id"
_OCI_DIGEST = "dev.pumice/oci/manifest-digest"
_OCI_CONFIG_DIGEST = "dev.pumice/oci/config-digest"
_KEPT = "dev.pumice.oci."
_KEPT_RUN = "dev.pumice.oci.config."
_KEPT_ANNOTATION = "dev.pumice.oci.annotation."
_NATIVE_RUN = ("User", "Entrypoint", "Cmd", "Env", "ExposedPorts", "Volumes", "WorkingDir", "Labels")
_DERIVED = ("architecture", "os", "rootfs", "config")
_MAX_PORTS = 131_072
"""All ports of TCP and UDP. A port may stand for a range, so a small manifest could have billions."""
_RESERVED_ANNOTATIONS = ("authors", "created", "homepage", "documentation")


class OciDocuments(msgspec.Struct, frozen=True):
    """The documents of an OCI image: its config as JSON, the annotations of its manifest, and digests."""

    config: dict[str, Any]
    annotations: Mapping[str, str] = {}
    manifest_digest: Digest = ""
    config_digest: Digest = ""


def read_config(data: bytes) -> dict[str, Any]:
    """Return a config with all its members, also unknown ones; raises FormatError."""
    oci.read_config(data)  # refuses members of other types
    config = strictjson.read_object(data, "config", limit=oci.MAX_DOCUMENT)
    return {name: value for name, value in config.items() if value is not None}


# OCI to App Container -------------------------------------------------------------------------------


def make_manifest(
    documents: OciDocuments, name: str, version: str, find_group: Callable[[str], str]
) -> ImageManifest:
    """Return the manifest of an App Container image for an OCI image.

    ``find_group`` returns the primary group of a user. Raises UsageError for a name that does not fit, and
    FormatError for an architecture that the specification does not have.
    """
    check_image_name(name)
    labels = _make_labels(documents.config, version)
    if (origin := _find_named_origin(documents, name, labels)) is not None:
        return origin
    run: dict[str, Any] = {
        key: value for key, value in documents.config.get("config", {}).items() if value is not None
    }
    app = _make_app(run, find_group)
    app = msgspec.structs.replace(
        app, user_annotations={**_keep_config(documents, run), **_keep_annotations(documents.annotations)}
    )
    return ImageManifest(name=name, labels=labels, app=app, annotations=_make_annotations(documents))


def check_image_name(name: str) -> None:
    """Raise UsageError for a name that is not one of App Container."""
    if not name:
        raise UsageError(
            "an App Container image needs a name", hint="pass it with 'pumice convert --name NAME'"
        )
    if not names.is_identifier(name):
        raise UsageError(
            f"{name[:100]!r} is not a name of App Container",
            hint="pass another one with 'pumice convert --name NAME', such as example.com/hello",
        )


def find_origin(documents: OciDocuments) -> ImageManifest | None:
    """Return the manifest that an OCI image was converted from, None unless it still describes that image."""
    text = documents.annotations.get(APPC_MANIFEST)
    if text is None:
        return None
    try:
        manifest, _ = read_image_manifest(text.encode())
        config, annotations = make_config(manifest)
    except (FormatError, UnicodeEncodeError):
        return None
    is_same = _without_owner(config, manifest) == _without_owner(documents.config, manifest) and all(
        documents.annotations.get(key) == value for key, value in annotations.items()
    )
    return manifest if is_same else None


def _find_named_origin(documents: OciDocuments, name: str, labels: tuple[Label, ...]) -> ImageManifest | None:
    manifest = find_origin(documents)
    if manifest is None or manifest.name != name or not all(label in manifest.labels for label in labels):
        return None
    try:
        encode_image_manifest(manifest)
    except FormatError:
        return None
    return manifest


def _without_owner(config: dict[str, Any], manifest: ImageManifest) -> dict[str, Any]:
    """Return a config without its layers, and without a user that is looked up in the files of the image."""
    compared = {key: value for key, value in config.items() if key not in ("rootfs", "history")}
    if manifest.app and "/" in (manifest.app.user[:1], manifest.app.group[:1]):
        compared["config"] = {**config.get("config", {}), "User": ""}
    return compared


def _make_labels(config: dict[str, Any], version: str) -> tuple[Label, ...]:
    platform = oci.Platform(config["architecture"], config["os"], config.get("variant") or "")
    labels = [Label("arch", find_architecture(platform)), Label("os", platform.os)]
    return tuple([*labels, Label("version", version)] if version else labels)


def _make_app(run: dict[str, Any], find_group: Callable[[str], str]) -> App:
    user, _, group = run.get("User", "").partition(":")
    directory = run.get("WorkingDir", "")
    return App(
        exec=tuple(run.get("Entrypoint", ())) + tuple(run.get("Cmd", ())),
        user=_fit_owner(user),
        group=_fit_owner(group or find_group(user or "0")),
        working_directory=directory if _is_path(directory) else "",
        environment=_make_environment(run.get("Env", ())),
        mount_points=_make_mount_points(run.get("Volumes", {})),
        ports=_make_ports(run.get("ExposedPorts", {})),
        user_labels=dict(run.get("Labels", {})),
    )


def _fit_owner(owner: str) -> str:
    """Return a user or group; one that App Container would take for a path is kept elsewhere."""
    is_odd = owner.startswith(("/", "-")) or (owner.isdigit() and len(owner) > 9)
    return owner if owner and not is_odd else "0"


def _is_path(text: str) -> bool:
    return text.startswith("/") and ".." not in text.split("/") and "\0" not in text and len(text) <= 4096


def _make_environment(variables: list[str]) -> tuple[Variable, ...]:
    values: dict[str, str] = {}
    for variable in variables:
        name, equals, value = variable.partition("=")
        try:
            names.check_variable(name, "")
        except FormatError:
            continue
        if equals and "\0" not in value:
            values[name] = value
    return tuple(Variable(name, value) for name, value in values.items())


def _make_mount_points(volumes: dict[str, Any]) -> tuple[MountPoint, ...]:
    points: dict[str, MountPoint] = {}
    for path in sorted(volumes):
        if not _is_path(path):
            continue
        stem = name = names.make_name(f"volume-{path}")
        number = 1
        while name in points:
            number += 1
            name = f"{stem}-{number}"
        points[name] = MountPoint(name, path)
    return tuple(points.values())


def _make_ports(exposed: dict[str, Any]) -> tuple[Port, ...]:
    ports = []
    for text in sorted(exposed):
        number, slash, protocol = text.partition("/")
        protocol = protocol if slash else "tcp"
        is_number = number.isascii() and number.isdigit() and 0 < int(number[:6]) < 65536
        if is_number and str(int(number)) == number and protocol in ("tcp", "udp") and slash:
            ports.append(Port(f"{number}-{protocol}", protocol, int(number)))
    return tuple(ports)


def _keep_config(documents: OciDocuments, run: dict[str, Any]) -> dict[str, str]:
    """Return the members that the native fields do not express, as JSON."""
    app = _make_app(run, lambda _: "0")
    native = make_run(app)
    kept = {
        f"{_KEPT_RUN}{key}": _to_json(value)
        for key, value in run.items()
        if key not in _NATIVE_RUN or native.get(key) != value
    }
    kept |= {f"{_KEPT_RUN}{key}": "null" for key in native if key not in run}
    if documents.config["architecture"] == "arm" and not documents.config.get("variant"):
        kept[f"{_KEPT}variant"] = _to_json("")  # the architecture's name has a variant
    for key, value in documents.config.items():
        annotation = {"created": "created", "author": "authors"}.get(key)
        if key in _DERIVED or (
            annotation and any(each.name == annotation for each in _make_annotations(documents))
        ):
            continue
        kept[f"{_KEPT}{key}"] = _to_json(value)
    return kept


def _keep_annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    return {
        f"{_KEPT_ANNOTATION}{name}": value
        for name, value in annotations.items()
        if not _is_native_annotation(name) and name not in (APPC_MANIFEST, APPC_IMAGE_ID)
    }


def _is_native_annotation(name: str) -> bool:
    return (
        names.is_identifier(name)
        and name not in _RESERVED_ANNOTATIONS
        and not name.startswith(("appc.io/", "dev.pumice/", "dev.pumice.appc."))
    )


def _make_annotations(documents: OciDocuments) -> tuple[Annotation, ...]:
    values: dict[str, str] = {
        name: value for name, value in sorted(documents.annotations.items()) if _is_native_annotation(name)
    }
    created, author = documents.config.get("created", ""), documents.config.get("author", "")
    try:
        values["created"] = names.check_date(created, "")
    except FormatError:
        pass
    if author:
        values["authors"] = author
    values[_OCI_DIGEST] = documents.manifest_digest
    values[_OCI_CONFIG_DIGEST] = documents.config_digest
    return tuple(Annotation(name, value) for name, value in sorted(values.items()) if value)


# App Container to OCI -------------------------------------------------------------------------------


def make_config(manifest: ImageManifest) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the config of an OCI image, without its layers, and the annotations of its manifest.

    A user or group that is a path must be replaced by the owner of that file before.
    Raises FormatError if the image is for no platform that OCI has.
    """
    system = find_value(manifest.labels, "os") or "linux"
    architecture = find_value(manifest.labels, "arch") or "amd64"
    platform = OCI_PLATFORMS.get((system, architecture))
    if platform is None:
        raise FormatError(f"OCI has no platform for {system[:40]}/{architecture[:40]}")
    kept = _read_kept(manifest)
    config: dict[str, Any] = {"architecture": platform.architecture, "os": platform.os}
    variant = kept.pop("variant", platform.variant)
    if ARCHITECTURES.get((platform.os, platform.architecture, str(variant))) != architecture:
        variant = platform.variant  # the label was changed after the image was converted
    if variant:
        config["variant"] = variant
    for annotation, key in (("created", "created"), ("authors", "author")):
        if (value := find_value(manifest.annotations, annotation)) is not None:
            config[key] = value
    config |= {key: value for key, value in kept.items() if key not in _DERIVED and key not in config}
    run = _apply_kept_run(manifest)
    if run:
        config["config"] = run
    return config, _make_oci_annotations(manifest)


def _apply_kept_run(manifest: ImageManifest) -> dict[str, Any]:
    if manifest.app is None:
        return {}
    native = make_run(manifest.app)
    kept = {
        key.removeprefix(_KEPT_RUN): _from_json(value)
        for key, value in manifest.app.user_annotations.items()
        if key.startswith(_KEPT_RUN)
    }
    run = {key: value for key, value in {**native, **kept}.items() if value is not None}
    try:
        oci.read_config(json.dumps({"architecture": "", "os": "", "config": run}).encode())
        app = _make_app(run, lambda _: manifest.app.group if manifest.app else "0")
    except (FormatError, AttributeError, TypeError):
        return native
    if _native_fields(app) == _native_fields(manifest.app):
        return run
    other = {key: value for key, value in kept.items() if key not in _NATIVE_RUN and value is not None}
    return {**native, **other}  # the image was changed after it was converted


def _native_fields(app: App) -> tuple[object, ...]:
    return (
        app.exec,
        app.user,
        app.group,
        app.working_directory,
        app.environment,
        {point.path for point in app.mount_points},
        {(port.protocol, port.port) for port in app.ports},
        app.user_labels,
    )


def make_run(app: App) -> dict[str, Any]:
    """Return the ``config`` of an OCI config that an app's own fields express; raises FormatError."""
    run: dict[str, Any] = {"User": f"{app.user}:{app.group}"}
    if app.exec:
        run["Entrypoint"] = list(app.exec)
    if app.working_directory:
        run["WorkingDir"] = app.working_directory
    if app.environment:
        run["Env"] = [f"{variable.name}={variable.value}" for variable in app.environment]
    if app.mount_points:
        run["Volumes"] = {point.path: {} for point in app.mount_points}
    if sum(port.count for port in app.ports) > _MAX_PORTS:
        raise FormatError(f"the image declares more than {_MAX_PORTS} ports")
    ports: dict[str, dict[str, str]] = {
        f"{port.port + number}/{port.protocol}": {} for port in app.ports for number in range(port.count)
    }
    if ports:
        run["ExposedPorts"] = ports
    if app.user_labels:
        run["Labels"] = app.user_labels
    return run


def _read_kept(manifest: ImageManifest) -> dict[str, Any]:
    """Return the members of an OCI config, besides ``config``, that an image keeps."""
    annotations = manifest.app.user_annotations if manifest.app else {}
    return {
        key.removeprefix(_KEPT): _from_json(value)
        for key, value in annotations.items()
        if key.startswith(_KEPT) and not key.startswith((_KEPT_RUN, _KEPT_ANNOTATION))
    }


def _make_oci_annotations(manifest: ImageManifest) -> dict[str, str]:
    kept = {
        key.removeprefix(_KEPT_ANNOTATION): value
        for key, value in (manifest.app.user_annotations.items() if manifest.app else ())
        if key.startswith(_KEPT_ANNOTATION)
    }
    native = {each.name: each.value for each in manifest.annotations if _is_native_annotation(each.name)}
    named = {TITLE: manifest.name, VERSION: find_value(manifest.labels, "version") or ""}
    return {**kept, **native, **{key: value for key, value in named.items() if value}}


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _from_json(text: str) -> Any:
    try:
        return strictjson.read_value(text.encode(), "kept member", limit=oci.MAX_DOCUMENT)
    except (FormatError, UnicodeEncodeError):
        return None
