"""Images in a registry: ``docker://HOST/NAME[:TAG][@DIGEST]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import PumiceError, UsageError
from pumice.image.model import Image
from pumice.image.transports.locations import Address, Counts, Description, OpenedImage
from pumice.registry.reference import Reference, parse_reference

if TYPE_CHECKING:
    from pumice.formats.oci import Descriptor
    from pumice.image.transports.locations import Access, Attachment, OutgoingImage
    from pumice.registry.client import Client

_DIGITS = 12


class RegistryLocation:
    """A tag or digest in a repository."""

    def __init__(self, address: Address) -> None:
        """Raises UsageError if the path is not a reference."""
        self.address = address
        self._reference = parse_reference(address.path)

    def open(self, access: Access) -> OpenedImage:
        """Return the image, of which only the digest is fetched; raises NotFoundError."""
        from pumice.image.transports.registry_source import RegistryBlobs, RegistrySource

        reference, client = self._reference, access.client()
        root = self._resolve(client)
        blobs = RegistryBlobs(client, reference.repository, root)
        registry_name = "" if reference.digest else str(reference)
        version = reference.tag or f"digest-{reference.digest.partition(':')[2][:_DIGITS]}"
        return OpenedImage(
            Image(root, blobs, blobs.referrers, registry_name=registry_name),
            lambda: RegistrySource(client, reference.repository),
            str(reference.repository),
            version,
            reference.repository,
        )

    def _resolve(self, client: Client) -> Descriptor:
        try:
            return client.resolve(self._reference)
        except PumiceError as error:
            if self.address.is_fallback:
                absence = f"{self.address.path} is not in the local store either"
                error.hint = f"{absence}; {error.hint}" if error.hint else absence
            raise

    def check(self, name: str, version: str) -> None:
        """Refuse a version that is not a tag."""
        self._make_target(version)

    def write(self, outgoing: OutgoingImage, access: Access) -> Counts:
        """Send the blobs and manifests that the registry does not have; the tag is set last."""
        from pumice.image.transports.registry_writer import RegistryWriter

        gathered = outgoing.gather()
        writer = RegistryWriter(
            access.client(), self._make_target(outgoing.version), mount=gathered.repository
        )
        return writer.write(gathered.graph, gathered.source, access.progress)

    def attach(self, image: Image, access: Access) -> Attachment:
        """Return an attachment that adds signatures to images in the repository."""
        from pumice.image.transports.registry_attachment import RegistryAttachment

        return RegistryAttachment(access.client(), self._reference.repository)

    def describe(self, version: str = "") -> Description:
        """Return the name of the image in the registry."""
        reference = self._make_target(version)
        name = "" if reference.digest else str(reference)
        return Description(f"{self.address.transport.scheme}{reference}", name, reference.repository)

    def _make_target(self, version: str) -> Reference:
        """Return the reference, with ``version`` as the tag if it has none; raises UsageError."""
        if not version:
            return self._reference
        try:
            return parse_reference(self.address.path, default_tag=version)
        except UsageError:
            raise UsageError(
                f"the version {version!r} is not a valid tag",
                where=str(self.address),
                hint=f"write {self.address}:TAG",
            ) from None
