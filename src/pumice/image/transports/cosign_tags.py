"""Adds signatures to cosign's tags in a registry, without overwriting those that are there.

cosign keeps all signatures of an image as the layers of one manifest under ``sha256-<hex>.sig``, and
all attestations under ``….att``. Two locations can have different ones, and several clients can add to one
tag at the same time. So a manifest is replaced only if it is still the one that was read (ETag, if the
registry has them), and it is read again afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice.errors import FormatError
from pumice.formats import oci, simplesigning
from pumice.image import graph
from pumice.registry import blob_content
from pumice.registry.errors import NotFoundError, RegistryError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pumice.image.graph import Node
    from pumice.registry.client import Client
    from pumice.registry.raw_manifest import RawManifest
    from pumice.registry.reference import Reference

_ATTEMPTS = 24
_CHANGED = frozenset({409, 412})
_MERGED = (".sig", ".att")
"""Suffixes of the tags whose manifests are sets of layers; others, such as ``.sbom``, are one document."""


def merge_into_tag(
    client: Client, target: Reference, nodes: Sequence[Node], *, replaced: Collection[str] = ()
) -> None:
    """Add the layers of ``nodes`` (manifests) to those of a tag's manifest.

    ``replaced`` are the digests of manifests that these replace. Raises RegistryError, and FormatError if
    the tag's manifest cannot be merged with them.
    """
    documents = [node.data for node in nodes]
    nodes_by_data = {node.data: node for node in nodes}
    for _ in range(_ATTEMPTS):
        current = _read_manifest(client, target)
        current_documents = [current.data] if current is not None and current.digest not in replaced else []
        merged = merge_manifests([*current_documents, *documents], target)
        if current is not None and merged == current.data:
            return
        _write_manifest(
            client,
            target,
            nodes_by_data.get(merged) or _parse_node(merged),
            current,
            is_new=merged not in nodes_by_data,
        )
    raise RegistryError(
        "cannot update the tag: other clients keep changing it", where=str(target), hint="try again"
    )


def merge_manifests(documents: Sequence[bytes], target: Reference) -> bytes:
    """Return the first manifest that has the layers of all of them, or else a new one that has them."""
    parsed_manifests = [_parse_manifest(data, target) for data in documents]
    if len(set(documents)) == 1:
        return documents[0]
    if not target.tag.endswith(_MERGED) or any(
        parsed_manifest is None for parsed_manifest in parsed_manifests
    ):
        raise FormatError(
            "the registry has something else under this tag, which would be lost",
            where=str(target),
            hint=f"delete it with pumice delete docker://{target}, or leave out ours with --only-image",
        )
    manifests = [parsed_manifest for parsed_manifest in parsed_manifests if parsed_manifest is not None]
    layers = {_encode_key(layer): layer for manifest in manifests for layer in manifest["layers"]}
    for data, manifest in zip(documents, manifests, strict=True):
        if {_encode_key(layer) for layer in manifest["layers"]} >= layers.keys():
            return data
    config = simplesigning.encode_artifact_config([str(layer["digest"]) for layer in layers.values()])
    descriptor = {"mediaType": oci.CONFIG, "digest": blob_content.digest_of(config), "size": len(config)}
    merged: dict[str, Any] = {}
    annotations: dict[str, Any] = {}
    for manifest in reversed(manifests):
        merged |= manifest
        annotations |= manifest.get("annotations") or {}
    merged |= {"config": descriptor, "layers": list(layers.values())} | (
        {"annotations": annotations} if annotations else {}
    )
    return msgspec.json.encode(merged, order="deterministic")


def _parse_manifest(data: bytes, target: Reference) -> dict[str, Any] | None:
    """Return a manifest as JSON, None for an index and any other document without layers."""
    try:
        manifest = msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise FormatError("the manifest under this tag is malformed", where=str(target)) from None
    layers = manifest.get("layers") if isinstance(manifest, dict) else None
    if not isinstance(layers, list) or not all(
        isinstance(layer, dict) and layer.get("digest") for layer in layers
    ):
        return None
    return dict(manifest)


def _encode_key(layer: dict[str, Any]) -> bytes:
    """Return the identity of a signature: several can sign the same bytes, with other annotations."""
    return msgspec.json.encode(layer, order="deterministic")


def _read_manifest(client: Client, target: Reference) -> RawManifest | None:
    try:
        return client.get_manifest(target, skip_mirrors=True)
    except NotFoundError:
        return None


def _write_manifest(
    client: Client, target: Reference, node: Node, current: RawManifest | None, *, is_new: bool
) -> None:
    """Write the manifest if the tag has not changed since; a new manifest needs its config uploaded first."""
    if is_new:
        config = next(blob for blob in node.blobs if blob.media_type == oci.CONFIG)
        digests = [str(layer["digest"]) for layer in msgspec.json.decode(node.data)["layers"]]
        client.upload_blob(target.repository, config, simplesigning.encode_artifact_config(digests))
    conditions = []
    if current is None:
        conditions.append(("If-None-Match", "*"))
    elif current.etag and not current.etag.startswith("W/"):
        conditions.append(("If-Match", current.etag))
    try:
        uploaded_manifest = client.put_manifest(
            target, node.data, node.descriptor.media_type, extra_headers=conditions
        )
    except RegistryError as error:
        if error.status not in _CHANGED:
            raise
        return
    if is_new and node.subject and not uploaded_manifest.is_listed:
        client.add_fallback_referrers(target.repository, node.subject, [node.entry()])


def _parse_node(data: bytes) -> Node:
    return graph.parse_node(oci.Descriptor(oci.MANIFEST, blob_content.digest_of(data), len(data)), data)
