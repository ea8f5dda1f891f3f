"""Copies of images with their referrers between locations, and the content of a location."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pumice import digest
from pumice.formats import oci
from pumice.image.transports import transfer
from pumice.image.transports.locations import OpenedImage
from pumice.image.transports.references import parse_destination, parse_source
from pumice.registry import Client, ClientSettings, RetryPolicy
from pumice.registry.time_sources import TimeSources
from tests.support import images, locations

if TYPE_CHECKING:
    from pumice.image.graph import Graph
    from pumice.store.home import Home

NO_PAUSES = TimeSources(sleep=lambda _: None)
QUICK = ClientSettings(retry_policy=RetryPolicy(attempts=6, initial_delay=0.0, max_delay=0.0))
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"


def referrer(home: Home, subject: oci.Descriptor, kind: str) -> oci.Descriptor:
    """Store an artifact about ``subject``."""
    images.put(home, b"{}")
    content = f"about {subject.digest}: {kind}".encode()
    images.put(home, content)
    document = oci.Manifest(
        schema_version=2,
        media_type=oci.MANIFEST,
        artifact_type=kind,
        config=oci.Descriptor(oci.EMPTY, digest.of(b"{}"), 2),
        layers=(oci.Descriptor("text/plain", digest.of(content), len(content)),),
        subject=oci.Descriptor(subject.media_type, subject.digest, subject.size),
        annotations={"kind": kind},
    )
    data = oci.encode_document(document)
    images.put(home, data)
    return oci.Descriptor(oci.MANIFEST, digest.of(data), len(data), {"kind": kind}, artifact_type=kind)


def store_signed_index(home: Home, name: str) -> oci.Descriptor:
    """Store an index of two platforms, referrers of it, of a referrer and of a platform, and a cosign tag."""
    members = [
        images.make(home, [{"file": f"{name} " * 1000}], architecture=name).root
        for name in ("amd64", "arm64")
    ]
    data = oci.encode_document(oci.make_index(tuple(members)))
    root = oci.Descriptor(oci.INDEX, images.put(home, data), len(data))
    home.refs.set(name, root)
    sbom = referrer(home, root, "application/x-sbom")
    signature = referrer(home, sbom, "application/x-signature")
    attestation = referrer(home, members[1], "application/x-attestation")
    for subject, entry in ((root, sbom), (sbom, signature), (members[1], attestation)):
        home.referrers.add(subject.digest, [entry])
    cosign = images.make(home, [{"signature": "by cosign"}]).root
    tag_annotation = {oci.REF_NAME: f"{root.digest.replace(':', '-')}.sig"}
    home.referrers.add(
        root.digest, [oci.Descriptor(cosign.media_type, cosign.digest, cosign.size, tag_annotation)]
    )
    return root


def store_cosign_manifest(home: Home, subject: str, *signatures: str, suffix: str = ".sig") -> oci.Descriptor:
    """Store the manifest that cosign writes under a tag, with ``signatures`` (any texts), and list it."""
    layers = []
    for text in signatures:
        payload = f"payload of {subject[:20]}".encode()  # equal for all signatures, as with cosign
        images.put(home, payload)
        notes = {SIGNATURE: text}
        layers.append(oci.Descriptor(SIMPLE, digest.of(payload), len(payload), notes))
    config = json.dumps(
        {"rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]}}
    ).encode()
    images.put(home, config)
    data = oci.encode_document(
        oci.Manifest(
            schema_version=2,
            media_type=oci.MANIFEST,
            config=oci.Descriptor(oci.CONFIG, digest.of(config), len(config)),
            layers=tuple(layers),
        )
    )
    tag_annotation = {oci.REF_NAME: f"{subject.replace(':', '-')}{suffix}"}
    entry = oci.Descriptor(oci.MANIFEST, images.put(home, data), len(data), tag_annotation)
    home.referrers.add(subject, [entry])
    return entry


def signatures(document: dict[str, Any]) -> list[str]:
    """Return the signatures in a manifest of cosign."""
    return sorted(layer["annotations"][SIGNATURE] for layer in document["layers"])


def open_source(source: str, home: Home, client: Client) -> OpenedImage:
    return parse_source(source).open(locations.access(home, lambda: client))


def copy_with(
    client: Client, source: str, destination: str, home: Home, *, with_referrers: bool = True
) -> Graph:
    """Copy an image with a client."""
    source_image = open_source(source, home, client)
    gathered = transfer.gather_image(source_image, with_referrers=with_referrers)
    location = parse_destination(destination)
    transfer.copy_image(gathered, source_image, location, locations.access(home, lambda: client))
    return gathered.graph


def copy(source: str, destination: str, home: Home, *, with_referrers: bool = True) -> Graph:
    with Client(settings=QUICK, time_sources=NO_PAUSES) as client:
        return copy_with(client, source, destination, home, with_referrers=with_referrers)


def everything(source: str, home: Home) -> dict[str, bytes]:
    """Return the documents, blobs, referrers and tags of an image at a location."""
    with Client(settings=QUICK, time_sources=NO_PAUSES) as client:
        return everything_with(client, source, home)


def everything_with(client: Client, source: str, home: Home) -> dict[str, bytes]:
    """Like `everything`, with a given client."""
    gathered = transfer.gather_image(open_source(source, home, client))
    graph = gathered.graph
    contents = {name: node.data for name, node in graph.nodes.items()}
    for name, blob in graph.blobs().items():
        with gathered.source.open(blob) as file:
            contents[name] = file.read()
    assert all(digest.of(data) == name for name, data in contents.items() if name.startswith("sha256:"))
    contents |= {f"tag {tag}": tagged.digest.encode() for tag, (tagged,) in graph.tags.items()}
    for subject, links in graph.referrers.items():
        contents[f"about {subject}"] = "\n".join(sorted(link.digest for link in links)).encode()
    return contents


def described(data: bytes) -> oci.Descriptor:
    """Return a descriptor of some bytes."""
    return oci.Descriptor("application/octet-stream", digest.of(data), len(data))
