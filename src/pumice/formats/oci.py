"""The documents of image-spec 1.1: descriptors, manifests, indexes, configs and layouts.

Documents are encoded as canonical JSON, so that equal values have equal digests. Readers are tolerant,
because many tools write images: unknown fields and nulls are accepted, and Docker's media types
("image manifest version 2, schema 2" of distribution) are equivalent to OCI's. A document is always
copied as the bytes it was received in, so unknown fields are preserved.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from pumice import canonical, digest
from pumice.errors import FormatError

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
EMPTY = "application/vnd.oci.empty.v1+json"

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"

MANIFESTS = frozenset({MANIFEST, DOCKER_MANIFEST})
INDEXES = frozenset({INDEX, DOCKER_INDEX})
CONFIGS = frozenset({CONFIG, DOCKER_CONFIG})

REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation of a descriptor in the index of a layout with its tag (annotations.md)."""

FULL_NAME = "io.containerd.image.name"
"""The annotation with the full name of an image in a layout, which containerd and podman use."""

REPRODUCIBLE = "dev.pumice.reproducible"
"""An annotation whose value is ``false`` if package scripts do not write the same files twice."""
REFERRERS = "dev.pumice.referrers"
"""The annotation on the descriptor in a layout with the digest of an index of its referrers."""

SUBJECT = "dev.pumice.subject"
"""The annotation with the subject's digest on a listed referrer whose manifest has no subject."""

EVIDENCE = "dev.pumice.evidence"
"""The annotation of artifacts attached by a build: ``sbom`` or ``provenance``."""

ATTESTED_DIGEST = "dev.pumice.attested"
"""The annotation of an attestation with the digest of the attached document that it attests."""

LAYOUT_VERSION = "1.0.0"
MAX_DOCUMENT = 4 << 20
"""Maximum size of a manifest, index or config in bytes, which registries must accept (distribution-spec)."""

Size = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """The platform of a manifest in an index (image-index.md)."""

    architecture: str
    os: str = msgspec.field(default_factory=lambda: "linux")  # the value of a factory is always encoded
    variant: str = ""
    os_version: str = msgspec.field(default="", name="os.version")
    os_features: tuple[str, ...] = msgspec.field(default=(), name="os.features")


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A pointer to content: media type, digest and size in bytes (descriptor.md).

    ``data`` is the content in base64, ``urls`` are alternative locations of it.
    """

    media_type: str
    digest: str
    size: Size
    annotations: dict[str, str] = {}
    platform: Platform | None = None
    artifact_type: str = ""
    urls: tuple[str, ...] = ()
    data: str = ""


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    """One image for one platform, or an artifact (manifest.md)."""

    schema_version: int
    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = ""
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


class Index(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    """A list of manifests, usually one per platform (image-index.md)."""

    schema_version: int
    manifests: tuple[Descriptor, ...]
    media_type: str = ""
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


class Empty(msgspec.Struct, frozen=True):
    """The value of each key in a set as Go encodes it: ``{}``."""


class HealthCheck(msgspec.Struct, frozen=True, omit_defaults=True, rename="pascal"):
    """Docker's health check; times in nanoseconds, ``test`` starts with CMD, CMD-SHELL or NONE."""

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    retries: int = 0


class RunConfig(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, rename="pascal"):
    """The ``config`` of an `ImageConfig`: how to run a container (config.md)."""

    user: str = ""
    exposed_ports: dict[str, Empty] = {}
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    volumes: dict[str, Empty] = {}
    working_dir: str = ""
    labels: dict[str, str] = {}
    stop_signal: str = ""
    healthcheck: HealthCheck | None = None


class RootFs(msgspec.Struct, frozen=True):
    """The digests of the uncompressed layers, base first (config.md)."""

    type: str
    diff_ids: tuple[str, ...]


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one layer was created; entries without ``empty_layer`` correspond to the layers in order."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageConfig(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The configuration of an image (config.md); ``created`` is in RFC 3339 format."""

    architecture: str
    os: str
    rootfs: RootFs
    variant: str = ""
    created: str = ""
    author: str = ""
    config: RunConfig = RunConfig()
    history: tuple[History, ...] = ()


class LayoutHeader(msgspec.Struct, frozen=True, rename="camel"):
    """The ``oci-layout`` file (image-layout.md)."""

    image_layout_version: str


# Writing ------------------------------------------------------------------------------------------


def encode_document(document: msgspec.Struct) -> bytes:
    """Return the canonical JSON of a document."""
    return canonical.dumps(document)


def bare_descriptor(descriptor: Descriptor) -> Descriptor:
    """Return a descriptor without annotations and other fields that depend on where it is listed."""
    return Descriptor(descriptor.media_type, descriptor.digest, descriptor.size)


def make_descriptor(data: bytes, media_type: str, *, platform: Platform | None = None) -> Descriptor:
    """Return the descriptor of a document's bytes."""
    return Descriptor(media_type, digest.of(data), len(data), platform=platform)


def make_manifest(
    config: Descriptor, layers: tuple[Descriptor, ...], *, annotations: dict[str, str] | None = None
) -> Manifest:
    """Return an image manifest as Pumice writes it."""
    return Manifest(
        schema_version=2, media_type=MANIFEST, config=config, layers=layers, annotations=annotations or {}
    )


def make_index(manifests: tuple[Descriptor, ...], *, annotations: dict[str, str] | None = None) -> Index:
    """Return an image index as Pumice writes it."""
    return Index(schema_version=2, media_type=INDEX, manifests=manifests, annotations=annotations or {})


EMPTY_CONFIG = Descriptor(
    EMPTY, "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", 2, data="e30="
)
"""The config of an artifact without one: ``{}`` (manifest.md, "Guidance for an Empty Descriptor")."""


def make_artifact(
    subject: Descriptor, artifact_type: str, layer: Descriptor, *, annotations: dict[str, str]
) -> Manifest:
    """Return the manifest of an artifact with one blob and the subject ``subject`` (manifest.md)."""
    return Manifest(
        schema_version=2,
        media_type=MANIFEST,
        artifact_type=artifact_type,
        config=EMPTY_CONFIG,
        layers=(layer,),
        subject=Descriptor(subject.media_type, subject.digest, subject.size),
        annotations=annotations,
    )


# Reading ------------------------------------------------------------------------------------------

_Document = TypeVar("_Document", bound=msgspec.Struct)


def is_index(data: bytes, media_type: str = "") -> bool:
    """Return whether a document is an index and not a manifest, by its media type or its fields.

    Raises FormatError if it is neither, or could be read as both (CVE-2021-41190).
    """
    document = _parse(data, "manifest")
    if document.get("schemaVersion") == 1 or "fsLayers" in document:
        raise FormatError("the image manifest has Docker's obsolete schema version 1")
    has_manifests = "manifests" in document
    if has_manifests and ("layers" in document or "config" in document):
        raise FormatError("the document has the fields of both a manifest and an index")
    own_media_type = str(document.get("mediaType") or "")
    if own_media_type and media_type in MANIFESTS | INDEXES and own_media_type != media_type:
        raise FormatError(
            f"the document has media type {own_media_type!r}, but its descriptor has {media_type!r}"
        )
    effective_media_type = own_media_type or media_type
    if effective_media_type in MANIFESTS | INDEXES and has_manifests != (effective_media_type in INDEXES):
        raise FormatError(
            f"the document has media type {effective_media_type!r}, but the fields of another type"
        )
    if not has_manifests and "layers" not in document and "config" not in document:
        raise FormatError("the document is neither an image manifest nor an index")
    return has_manifests


def is_document(descriptor: Descriptor) -> bool:
    """Return whether an entry of an index is stored as a manifest, judged by its media type.

    The entries of BuildKit's cache indexes are layers and a config (moby/buildkit, "registry" cache).
    """
    kind = descriptor.media_type
    if kind in MANIFESTS | INDEXES or not kind:
        return True
    return kind.endswith(("+json", "/json")) and kind not in CONFIGS | {EMPTY}


def read_manifest(data: bytes) -> Manifest:
    """Return the manifest in ``data``; raises FormatError if malformed or larger than 4 MiB."""
    manifest = _read_document(data, Manifest, "manifest", layers=[])
    _check_version(manifest.schema_version)
    return manifest


def read_index(data: bytes) -> Index:
    """Return the index in ``data``; raises FormatError if malformed or larger than 4 MiB."""
    index = _read_document(data, Index, "index", manifests=[])
    _check_version(index.schema_version)
    return index


def read_config(data: bytes) -> ImageConfig:
    """Return the image config in ``data``; raises FormatError if malformed or larger than 4 MiB."""
    return _read_document(data, ImageConfig, "config", rootfs={"type": "layers", "diff_ids": []})


def is_image_config(data: bytes) -> bool:
    """Return whether a config is that of an image: some artifacts have ``{}`` with the same media type."""
    return not _parse(data, "config").keys().isdisjoint({"architecture", "os", "rootfs"})


def read_layout_header(data: bytes) -> LayoutHeader:
    """Return the ``oci-layout`` file in ``data``; raises FormatError if its version is not 1.x."""
    header = _convert(_parse(data, "layout header"), LayoutHeader, "layout header")
    if not header.image_layout_version.startswith("1."):
        raise FormatError(
            f"the layout has version {header.image_layout_version[:40]!r}, but only 1.x is supported"
        )
    return header


def _check_version(number: int) -> None:
    if number != 2:
        raise FormatError(f"the document has schemaVersion {number}, but only 2 is supported")


def _read_document(data: bytes, kind: type[_Document], document_kind: str, **defaults: object) -> _Document:
    """Return a document in which members that some tools omit have ``defaults``."""
    return _convert({**defaults, **_parse(data, document_kind)}, kind, document_kind)


def _parse(data: bytes, document_kind: str) -> dict[str, Any]:
    if len(data) > MAX_DOCUMENT:
        raise FormatError(f"the {document_kind} is larger than 4 MiB")
    try:
        document = remove_nulls(msgspec.json.decode(data))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FormatError(f"the {document_kind} is not valid JSON ({_one_line(error)})") from None
    if not isinstance(document, dict):
        raise FormatError(f"the {document_kind} is not a JSON object")
    return document


def _convert(document: dict[str, Any], kind: type[_Document], document_kind: str) -> _Document:
    try:
        return msgspec.convert(document, kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FormatError(f"the {document_kind} is malformed ({_one_line(error)})") from None


def remove_nulls(value: Any, key: str = "") -> Any:
    """Return decoded JSON without nulls, which Go writes for absent lists and maps.

    A null value of a key in a set becomes ``{}``.
    """
    if isinstance(value, dict):
        in_set = key in ("ExposedPorts", "Volumes")
        return {
            name: {} if member is None else remove_nulls(member, name)
            for name, member in value.items()
            if member is not None or in_set
        }
    if isinstance(value, list):
        return [remove_nulls(member) for member in value]
    return value


def _one_line(error: Exception) -> str:
    return str(error).replace("\n", " ")[:200]
