"""Images signed by a simulated sigstore instance."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from pumice.formats import oci, sigstore
from pumice.image.model import Image
from pumice.image.transports import attachment, layout
from pumice.trust import keyless
from pumice.trust.trusted_key import TrustedKey
from tests.support.sigstore_simulator import ADA, ISSUER, Instance, Wish


@cache
def _instance(number: int) -> Instance:
    return Instance()


def instance(number: int = 0) -> Instance:
    """Return a simulated instance of this test run, the same for the same number."""
    return _instance(number)


def attach(
    folder: Path,
    data: bytes,
    media_type: str = sigstore.BUNDLE,
    *,
    kind: str = sigstore.SIGN,
    annotations: dict[str, str] | None = None,
) -> Image:
    """Attach a bundle to the layout in ``folder`` as cosign 3 does, and return its image."""
    image = layout.read_layout(folder)
    attachments = attachment.LayoutAttachment(folder, image)
    layer = msgspec.structs.replace(attachments.put(data, media_type), annotations=annotations or {})
    manifest = oci.Manifest(
        schema_version=2,
        config=attachments.put(b"{}", oci.EMPTY),
        layers=(layer,),
        subject=image.root,
        artifact_type=media_type,
        annotations={sigstore.CONTENT: "dsse-envelope", sigstore.PREDICATE_TYPE: kind},
    )
    attachments.change(image.root.digest, [attachments.put(oci.encode_document(manifest), oci.MANIFEST)], [])
    attachments.finish()
    return layout.read_layout(folder)


def sign(folder: Path, wish: Wish | None = None, *, number: int = 0, kind: str = sigstore.SIGN) -> Image:
    """Sign the layout in ``folder`` with a simulated instance, and return its image."""
    digest = layout.read_layout(folder).root.digest
    return attach(folder, instance(number).signature(digest, wish, kind=kind), kind=kind)


def trusted(
    identity: str = ADA, issuer: str = ISSUER, *, number: int | None = 0, **options: Any
) -> TrustedKey:
    """Return an identity with the trusted root of an instance (None: the public instance)."""
    root = b"" if number is None else instance(number).trusted_root()
    key = keyless.Identity(b"", keyless.KIND, identity=identity, issuer=issuer, root=root)
    return TrustedKey(key=key, rule="test", label=key.title, **options)


def root_file(path: Path, number: int = 0) -> Path:
    """Write the trusted root of an instance."""
    path.write_bytes(instance(number).trusted_root())
    return path
