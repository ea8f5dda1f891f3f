"""App Container manifests (appc spec 0.8.11, aci.md and pods.md) of OCI images.

An OCI image has no App Container manifest. These functions return an equivalent one, with every field that
has a counterpart; labels and what else has none become annotations or user labels.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from pumice import canonical

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from pumice.formats.oci import ImageConfig, RunConfig

VERSION = "0.8.11"
MANIFEST_DIGEST = "appc.io/docker/manifesthash"
ORIGINAL_NAME = "appc.io/docker/originalname"
"""The annotations that docker2aci uses for the digest of an image's manifest and for its name."""
_ARCHITECTURES = {"arm64": "aarch64", "386": "i386", "ppc64le": "ppc64le", "s390x": "s390x", "amd64": "amd64"}
_ARM_VARIANTS = {"v6": "armv6l", "v7": "armv7l", "": "armv7l"}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z_0-9.-]*")
_PORT = re.compile(r"([1-9][0-9]{0,4})(?:/(tcp|udp))?")


def make_identifier(text: str) -> str:
    """Return an AC Identifier that resembles ``text``: characters that it cannot have become ``-``."""
    cleaned = re.sub(r"[^a-z0-9._~/-]", "-", text.lower())
    return re.sub(r"[-._~/]*([-._~/])", r"\1", cleaned).strip("-._~/")[:256].strip("-._~/") or "image"


def make_name(text: str) -> str:
    """Return an AC Name that resembles ``text``."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:64].strip("-") or "app"


def name_app(reference: str) -> str:
    """Return the name of the app of an image: the last part of the image's name."""
    repository = reference.partition("@")[0]
    head, slash, last = repository.rpartition("/")
    return make_name((last if slash or head else repository).partition(":")[0])


def name_volumes(paths: Iterable[str], taken: Collection[str] = ()) -> dict[str, str]:
    """Return the absolute paths of volumes by unique names, which are made from them as docker2aci does.

    No name is in ``taken``.
    """
    volumes: dict[str, str] = {}
    for path in sorted({path for path in paths if path.startswith("/")}):
        volumes[choose_name(f"volume-{make_name(path)}", {*volumes, *taken})] = path
    return volumes


def choose_name(name: str, taken: Collection[str]) -> str:
    """Return ``name`` or, if it is taken, the first of ``name-2``, ``name-3`` and so on that is not."""
    names = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
    return next(each for each in names if each not in taken)


def make_image_manifest(config: ImageConfig, reference: str, digest: str) -> dict[str, Any]:
    """Return the manifest of an image: ``reference`` is its name, ``digest`` that of its OCI manifest."""
    name, version = _split_reference(reference)
    labels = [{"name": "os", "value": config.os or "linux"}]
    if architecture := _architecture(config):
        labels.append({"name": "arch", "value": architecture})
    if version:
        labels.append({"name": "version", "value": version})
    annotations = [{"name": MANIFEST_DIGEST, "value": digest}, {"name": ORIGINAL_NAME, "value": reference}]
    if config.created:
        annotations.append({"name": "created", "value": config.created})
    if config.author:
        annotations.append({"name": "authors", "value": config.author})
    app = make_app(config.config)
    return {
        "acKind": "ImageManifest",
        "acVersion": VERSION,
        "name": name,
        "labels": labels,
        **({"app": app} if app["exec"] else {}),
        "annotations": annotations,
    }


def make_app(config: RunConfig) -> dict[str, Any]:
    """Return the ``app`` of an image's config; ``exec`` is empty if the image has no program."""
    user, _, group = config.user.partition(":")
    return {
        "exec": [*config.entrypoint, *config.cmd],
        "user": user or "0",
        "group": group or user or "0",
        "workingDirectory": config.working_dir or "/",
        "environment": _environment(config.env),
        "mountPoints": [{"name": name, "path": path} for name, path in name_volumes(config.volumes).items()],
        "ports": _ports(config.exposed_ports),
        **({"userLabels": dict(sorted(config.labels.items()))} if config.labels else {}),
    }


def image_id(manifest: Mapping[str, Any]) -> str:
    """Return an image ID for an image that has no archive: the digest of its canonical manifest.

    It is as specific as an ID of the specification, because the manifest has the digest of the OCI image.
    """
    return "sha512-" + hashlib.sha512(canonical.dumps(manifest)).hexdigest()


def make_pod_manifest(
    apps: Mapping[str, tuple[dict[str, Any], dict[str, Any], str]],
    *,
    annotations: Mapping[str, str] = {},
    volumes: Sequence[dict[str, Any]] = (),
    isolators: Sequence[dict[str, Any]] = (),
    ports: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Return the manifest of a pod; ``apps`` are image manifests, runtime apps and image IDs by name.

    A runtime app has the members that differ from those of its image: ``app``, ``mounts``,
    ``readOnlyRootFS`` and ``annotations``.
    """
    return {
        "acKind": "PodManifest",
        "acVersion": VERSION,
        "apps": [
            {
                "name": name,
                "image": {
                    "id": identifier,
                    "name": image["name"],
                    "labels": image.get("labels", []),
                },
                **runtime_app,
            }
            for name, (image, runtime_app, identifier) in apps.items()
        ],
        "volumes": list(volumes),
        "isolators": list(isolators),
        "annotations": [
            {"name": make_identifier(name), "value": value} for name, value in sorted(annotations.items())
        ],
        "ports": list(ports),
    }


def _split_reference(reference: str) -> tuple[str, str]:
    """Return the name and the version of a reference, ``""`` without one."""
    repository = reference.partition("@")[0]
    head, colon, tag = repository.rpartition(":")
    if not colon or "/" in tag:
        return make_identifier(repository), ""
    return make_identifier(head), tag


def _architecture(config: ImageConfig) -> str:
    if config.architecture == "arm":
        return _ARM_VARIANTS.get(config.variant, "")
    return _ARCHITECTURES.get(config.architecture, "")


def _environment(lines: tuple[str, ...]) -> list[dict[str, str]]:
    variables = {name: value for name, equals, value in (line.partition("=") for line in lines) if equals}
    return [{"name": name, "value": value} for name, value in variables.items() if _VARIABLE.fullmatch(name)]


def _ports(exposed: Mapping[str, object]) -> list[dict[str, Any]]:
    ports = []
    for text in sorted(exposed):
        match = _PORT.fullmatch(text)
        if match and int(match[1]) < 1 << 16:
            protocol = match[2] or "tcp"
            ports.append({"name": f"{match[1]}-{protocol}", "protocol": protocol, "port": int(match[1])})
    return ports
