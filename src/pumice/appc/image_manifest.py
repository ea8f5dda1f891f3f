"""Image manifests (spec/aci.md, "Image Manifest Schema")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice import canonical
from pumice.appc import names
from pumice.appc.app import App, read_app
from pumice.appc.findings import Findings
from pumice.appc.labels import Annotation, Label, read_annotations, read_labels
from pumice.appc.members import Members, check_text
from pumice.errors import FormatError
from pumice.formats import strictjson

MAX_MANIFEST = 4 << 20
"""Maximum size of a manifest in bytes."""
_PLACE = "manifest"
_MEMBERS = (
    "acKind",
    "acVersion",
    "name",
    "labels",
    "app",
    "dependencies",
    "pathWhitelist",
    "annotations",
)

if TYPE_CHECKING:
    from collections.abc import Sequence


class Dependency(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    """An image whose files come below those of the image that depends on it.

    ``size`` is that of the image's file in bytes, 0 if it is unknown.
    """

    image_name: str
    image_id: str = msgspec.field(default="", name="imageID")
    labels: tuple[Label, ...] = ()
    size: int = 0


class ImageManifest(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    """The manifest of an image."""

    name: str
    ac_kind: str = msgspec.field(default_factory=lambda: names.IMAGE_KIND)  # factories are always encoded
    ac_version: str = msgspec.field(default_factory=lambda: names.VERSION)
    labels: tuple[Label, ...] = ()
    app: App | None = None
    dependencies: tuple[Dependency, ...] = ()
    path_whitelist: tuple[str, ...] = ()
    annotations: tuple[Annotation, ...] = ()


def read_image_manifest(data: bytes, *, strict: bool = False) -> tuple[ImageManifest, tuple[str, ...]]:
    """Return an image manifest, and warnings about what the specification does not allow.

    Raises FormatError; with ``strict``, also for what would be a warning.
    """
    findings = Findings(strict=strict)
    document = strictjson.read_object(data, "image manifest", limit=MAX_MANIFEST)
    members = Members(document, _PLACE, _MEMBERS, findings)
    kind = members.text("acKind")
    if kind != names.IMAGE_KIND:
        raise FormatError(f"the document is a {kind[:40]!r}, not an {names.IMAGE_KIND}", where=_PLACE)
    manifest = ImageManifest(
        ac_version=names.check_version(members.text("acVersion"), members.place("acVersion")),
        name=names.check_identifier(members.text("name"), members.place("name"), findings),
        labels=read_labels(members),
        app=read_app(members.get("app"), "app", findings) if members.has("app") else None,
        dependencies=members.items(
            "dependencies", lambda item, where: _read_dependency(item, where, findings)
        ),
        path_whitelist=members.items("pathWhitelist", _read_path),
        annotations=read_annotations(members),
    )
    return manifest, findings.warnings


def encode_image_manifest(manifest: ImageManifest) -> bytes:
    """Return the bytes of a manifest, the same for equal ones; raises FormatError if it is not valid."""
    data = encode_document(manifest)
    read_image_manifest(data, strict=True)
    return data


def encode_document(document: msgspec.Struct) -> bytes:
    """Return canonical JSON; raises FormatError for what has none, which only unknown isolators can."""
    try:
        return canonical.dumps(document)
    except (TypeError, msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise FormatError(f"the manifest cannot be written ({error})") from None


def is_same_image(manifest: ImageManifest, name: str, labels: Sequence[Label]) -> bool:
    """Return whether an image has a name and at least these labels (spec/discovery.md, "Validation")."""
    return manifest.name == name and all(label in manifest.labels for label in labels)


def _read_dependency(value: Any, where: str, findings: Findings) -> Dependency:
    members = Members(value, where, ("imageName", "imageID", "labels", "size"), findings)
    has_id = members.has("imageID")
    return Dependency(
        image_name=names.check_identifier(members.text("imageName"), members.place("imageName"), findings),
        image_id=names.check_image_id(members.text("imageID"), members.place("imageID")) if has_id else "",
        labels=read_labels(members),
        size=members.number("size", 0),
    )


def _read_path(value: Any, where: str) -> str:
    return names.check_absolute_path(check_text(value, where), where)
