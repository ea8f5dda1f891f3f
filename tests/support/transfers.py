"""Images with all that belongs to them, copied from place to place, and looked at there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pumice import digest
from pumice.formats import oci
from pumice.image.transports import places
from pumice.progress import Silent
from pumice.registry import Client, ClientSettings, RetryPolicy
from tests.support import images

if TYPE_CHECKING:
    from pumice.image.graph import Graph
    from pumice.store.home import Home

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


def signed(home: Home, name: str) -> oci.Descriptor:
    """Store an index of two platforms, a referrer of it, one of that, one of a platform, and a cosign tag."""
    members = [
        images.make(home, [{"file": f"{name} " * 1000}], architecture=name).root
        for name in ("amd64", "arm64")
    ]
    data = oci.encode_document(oci.make_index(tuple(members)))
    root = oci.Descriptor(oci.INDEX, images.put(home, data), len(data))
    home.refs.set(name, root)
    sbom = referrer(home, root, "application/x-sbom")
    signature = referrer(home, sbom, "application/x-signature")
    other = referrer(home, members[1], "application/x-attestation")
    for subject, entry in ((root, sbom), (sbom, signature), (members[1], other)):
        home.referrers.add(subject.digest, [entry])
    cosign = images.make(home, [{"signature": "by cosign"}]).root
    named = {oci.REF_NAME: f"{root.digest.replace(':', '-')}.sig"}
    home.referrers.add(root.digest, [oci.Descriptor(cosign.media_type, cosign.digest, cosign.size, named)])
    return root


def cosigned(home: Home, subject: str, *signatures: str, suffix: str = ".sig") -> oci.Descriptor:
    """Store what cosign writes under a tag, with some signatures (any text will do), and list it."""
    layers = []
    for text in signatures:
        payload = f"payload of {subject[:20]}".encode()  # the same for all, as with cosign
        images.put(home, payload)
        notes = {SIGNATURE: text}
        layers.append(oci.Descriptor(SIMPLE, digest.of(payload), len(payload), notes))
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [one.digest for one in layers]}}).encode()
    images.put(home, config)
    data = oci.encode_document(
        oci.Manifest(
            schema_version=2,
            media_type=oci.MANIFEST,
            config=oci.Descriptor(oci.CONFIG, digest.of(config), len(config)),
            layers=tuple(layers),
        )
    )
    named = {oci.REF_NAME: f"{subject.replace(':', '-')}{suffix}"}
    entry = oci.Descriptor(oci.MANIFEST, images.put(home, data), len(data), named)
    home.referrers.add(subject, [entry])
    return entry


def signatures(document: dict[str, Any]) -> list[str]:
    """Return the signatures that a manifest of cosign's has."""
    return sorted(layer["annotations"][SIGNATURE] for layer in document["layers"])


def copy(source: str, target: str, home: Home, *, whole: bool = True) -> Graph:
    with Client(settings=QUICK, sleep=lambda _: None) as client:
        found = places.locate(source, home, client)
        gathered = places.collect(found, whole=whole)
        to = places.target(target, found.version)
        places.deliver(gathered, found, to, client=client, home=home, progress=Silent())
        return gathered


def everything(source: str, home: Home) -> dict[str, bytes]:
    """All that a place has of an image, read and checked: documents, blobs, lists and tags."""
    with Client(settings=QUICK, sleep=lambda _: None) as client:
        found = places.locate(source, home, client)
        gathered = places.collect(found)
        have = {name: node.data for name, node in gathered.nodes.items()}
        for name, blob in gathered.blobs().items():
            with found.source.open(blob) as file:
                have[name] = file.read()
            assert digest.of(have[name]) == name
        have |= {f"tag {tag}": one.digest.encode() for tag, (one,) in gathered.tags.items()}
        for subject, links in gathered.lists.items():
            have[f"about {subject}"] = "\n".join(sorted(link.digest for link in links)).encode()
        return have


def described(data: bytes) -> oci.Descriptor:
    """Return a descriptor of some bytes."""
    return oci.Descriptor("application/octet-stream", digest.of(data), len(data))
