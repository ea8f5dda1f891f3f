"""Locations: where images are read from and written to, as the command line names them.

A location is a scheme and a path: ``oci:DIR[:TAG]``, ``docker://HOST/NAME[:TAG]``. `TRANSPORTS` has one
row for each scheme. To add a scheme, add its row and its module in this package; everything else reads
the capabilities in the row and calls the methods of `Location`. `references` says which location a text
means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from pumice.errors import ImageError, UsageError
from pumice.formats import oci, platforms
from pumice.image.transports.gathered_image import GatheredImage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import BinaryIO

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor, Platform
    from pumice.image.graph import Source
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.registry.client import Client
    from pumice.registry.reference import Repository
    from pumice.store.archive_marks import ArchiveMark
    from pumice.store.home import Home

STDOUT = "-"
_SEPARATORS = frozenset("-._:@+")
_MAX_TAG = 255


class Transport(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of location: a row of `TRANSPORTS`.

    ``implementation`` is ``module:class`` below this package; it is imported on first use.
    """

    scheme: str
    syntax: str
    implementation: str
    is_readable: bool = True
    is_writable: bool = True
    is_file: bool = False
    """The path is one file, or ``-`` for standard output."""
    is_directory: bool = False
    """The path is a directory."""
    has_tag: bool = False
    """The path can be followed by a colon and a tag."""
    has_one_platform: bool = False
    """Holds the image of one platform, and no signatures, SBOMs or other referrers."""
    has_detached_signature: bool = False
    """`pumice sign` writes an OpenPGP signature of the file next to it."""
    is_converted: bool = False
    """Another format of images: the root file system and the config stay the same, digests do not."""
    is_store: bool = False
    is_registry: bool = False

    @property
    def name(self) -> str:
        """The scheme without its punctuation, such as ``oci-archive``."""
        return self.scheme.rstrip(":/")


REGISTRY = Transport(
    scheme="docker://",
    syntax="docker://HOST/NAME[:TAG]",
    implementation="registry:RegistryLocation",
    is_registry=True,
)
STORE = Transport(
    scheme="store:",
    syntax="store:NAME[:VERSION]",
    implementation="store:StoreLocation",
    is_store=True,
)
LAYOUT = Transport(
    scheme="oci:",
    syntax="oci:DIR[:TAG]",
    implementation="layout_location:LayoutLocation",
    is_directory=True,
    has_tag=True,
)
LAYOUT_ARCHIVE = Transport(
    scheme="oci-archive:",
    syntax="oci-archive:FILE[:TAG]",
    implementation="layout_archive:LayoutArchiveLocation",
    is_file=True,
    has_tag=True,
    has_detached_signature=True,
)
DOCKER_ARCHIVE = Transport(
    scheme="docker-archive:",
    syntax="docker-archive:FILE[:TAG]",
    implementation="docker_archive:DockerArchiveLocation",
    is_file=True,
    has_tag=True,
    has_one_platform=True,
)
ROOTFS_TAR = Transport(
    scheme="tar:",
    syntax="tar:FILE",
    implementation="rootfs_location:RootfsLocation",
    is_readable=False,
    is_file=True,
    has_one_platform=True,
)
ROOTFS_DIRECTORY = Transport(
    scheme="dir:",
    syntax="dir:DIR",
    implementation="rootfs_location:RootfsLocation",
    is_readable=False,
    is_directory=True,
    has_one_platform=True,
)

ACI = Transport(
    scheme="aci:",
    syntax="aci:FILE",
    implementation="aci:AciLocation",
    is_file=True,
    has_one_platform=True,
    has_detached_signature=True,
    is_converted=True,
)

TRANSPORTS = (LAYOUT, LAYOUT_ARCHIVE, DOCKER_ARCHIVE, ACI, ROOTFS_TAR, ROOTFS_DIRECTORY, STORE, REGISTRY)


class Address(msgspec.Struct, frozen=True):
    """A location as it was written: ``path`` is what follows the scheme, up to the tag."""

    transport: Transport
    path: str
    tag: str = ""
    is_fallback: bool = False
    """For a registry: the reference is a name that the store does not have."""

    def __str__(self) -> str:
        return f"{self.transport.scheme}{self.path}{f':{self.tag}' if self.tag else ''}"


class Access(msgspec.Struct, frozen=True):
    """The resources for reading and writing locations.

    ``client`` connects to registries when it is first called. ``stdout`` is the stream for the path ``-``.
    """

    home: Home
    client: Callable[[], Client]
    progress: Progress
    stdout: BinaryIO | None = None


class OpenedImage(msgspec.Struct, frozen=True):
    """An image of a location, with its name and version in that location ("" for none)."""

    image: Image
    source: Callable[[], Source]
    """Returns the source from which a copy reads the image and its referrers."""
    name: str = ""
    version: str = ""
    repository: Repository | None = None
    """The repository of a registry that blobs can be mounted from."""
    archive_mark: ArchiveMark | None = None
    """What is known about the archive of another format that the image was converted from."""


def open_local_source(image: Image) -> Source:
    """Return the source for a copy of an image that is not in a registry."""
    from pumice.image.transports.local_source import LocalSource

    return LocalSource(image)


class OutgoingImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image to write. ``name`` and ``version`` are used by locations without a name.

    ``referrers_in_index`` puts referrers into the ``index.json`` of a layout (see `layout.layout_content`).
    """

    image: Image
    name: str = ""
    version: str = ""
    gathered: GatheredImage | None = None
    referrers_in_index: bool = False
    archive_mark: ArchiveMark | None = None

    def gather(self) -> GatheredImage:
        """Return the image with all its referrers; raises PumiceError."""
        if self.gathered is not None:
            return self.gathered
        from pumice.image import graph

        source = open_local_source(self.image)
        return GatheredImage(graph.gather_graph(source, oci.bare_descriptor(self.image.root)), source)

    def counts(self, present: Collection[Digest] = ()) -> Counts:
        """Return the counts for a location that writes every blob but those that were ``present``."""
        blobs = tuple(self.gathered.graph.blobs().values()) if self.gathered else ()
        return count_outcomes(blobs, ["present" if blob.digest in present else "sent" for blob in blobs])


class Counts(msgspec.Struct, frozen=True):
    """The numbers of blobs of an image that were copied, already present, or mounted.

    ``sent_size`` is the number of bytes of those that were copied.
    """

    sent: int = 0
    present: int = 0
    mounted: int = 0
    sent_size: int = 0


def count_outcomes(blobs: Sequence[Descriptor], outcomes: Sequence[str]) -> Counts:
    """Return the counts of ``blobs`` that were ``sent``, ``present`` or ``mounted``; others do not count."""
    return Counts(
        outcomes.count("sent"),
        outcomes.count("present"),
        outcomes.count("mounted"),
        sum(blob.size for blob, outcome in zip(blobs, outcomes, strict=True) if outcome == "sent"),
    )


class Description(msgspec.Struct, frozen=True):
    """The name of a location.

    ``text`` is the complete location. An image there must be signed for ``name``: ``HOST/REPO:TAG`` in a
    registry, ``NAME[:VERSION]`` in the store, "" in other locations and for a digest.
    """

    text: str
    name: str = ""
    repository: Repository | None = None


class Attachment(Protocol):
    """Changes to the referrers of an image, which `finish` makes together."""

    def put(self, data: bytes, media_type: str) -> Descriptor:
        """Store a blob that a referrer needs; return its descriptor."""

    def change(self, subject: Digest, add: Sequence[Descriptor], remove: Sequence[Digest]) -> None:
        """Record a change to the referrers of ``subject``, which `finish` makes."""

    def finish(self) -> None:
        """Make the changes durably; for each subject, all of them or none."""


class Location(Protocol):
    """A location of images. An operation that a location does not support raises UsageError."""

    address: Address
    """The location as it was written."""

    def open(self, access: Access) -> OpenedImage:
        """Return the image at the location; raises ImageError if there is none, or several."""

    def check(self, name: str, version: str) -> None:
        """Raise UsageError if `write` would raise it for an image of this name and version."""

    def write(self, outgoing: OutgoingImage, access: Access) -> Counts:
        """Write an image; raises PumiceError, and then leaves nothing."""

    def attach(self, image: Image, access: Access) -> Attachment:
        """Return an attachment that adds signatures to ``image``, which `open` returned."""

    def describe(self, version: str = "") -> Description:
        """Return the description of the location; ``version`` is the tag for a location without one."""


def with_scheme(transport: Transport, text: str) -> str:
    """Return ``text`` with the scheme of ``transport``, which ``text`` may have or omit."""
    return transport.scheme + text.removeprefix(transport.scheme)


def select_only_platform(image: Image, address: Address) -> Image:
    """Return the image of the only platform, for a location that holds one; raises ImageError."""
    members = image.members()
    if len(members) > 1:
        raise make_platforms_error(address, [platform for _, platform in members])
    return image.select()


def make_platforms_error(address: Address, image_platforms: Sequence[Platform]) -> ImageError:
    """Return the error for an image of several platforms and a location that holds one."""
    names = ", ".join(platforms.format_platform(platform) for platform in image_platforms)
    return ImageError(
        f"a {address.transport.name} holds one platform, but the image has {len(image_platforms)}",
        where=str(address),
        hint=f"choose one with --platform: {names}, or write an oci: layout, which holds all",
    )


def choose_tag(address: Address, version: str) -> str:
    """Return the tag of a location, or the version of the image if it has none; raises UsageError."""
    tag = address.tag or version
    if is_tag(tag):
        return tag
    problem = f"the version {tag!r} is not a valid tag" if tag else "the image needs a tag"
    raise UsageError(problem, where=str(address), hint=f"write {address.transport.scheme}{address.path}:TAG")


def is_tag(text: str) -> bool:
    """Whether ``text`` may be a reference name (annotations.md, org.opencontainers.image.ref.name).

    Written without a regular expression, because every build that writes a layout calls it.
    """
    return (
        len(text) <= _MAX_TAG
        and text.isascii()
        and all(_is_component(component) for component in text.split("/"))
    )


def _is_component(text: str) -> bool:
    is_separated = False
    for letter in text.replace("--", "-"):
        if not letter.isalnum() and (is_separated or letter not in _SEPARATORS):
            return False
        is_separated = not letter.isalnum()
    return text[:1].isalnum() and text[-1:].isalnum()


def refuse_reading(transport: Transport) -> UsageError:
    """Return the error of a location that is only written."""
    return UsageError(
        f"cannot read an image from {transport.scheme}", hint="write it as oci: or oci-archive: too"
    )


def refuse_attaching(address: Address) -> UsageError:
    """Return the error of a location that signatures cannot be added to."""
    return UsageError(
        "cannot add to an archive after it is written",
        where=str(address),
        hint="sign the image in the store or in an oci: layout, or sign the archive with an OpenPGP key",
    )
