"""Where images are read from and written to, registries included: the words of the command line.

``docker://HOST/NAME[:TAG][@DIGEST]`` is a registry's, ``store:NAME:VERSION`` (and a bare name where
something is read) the store's, and the rest is `pumice.image`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice.errors import ImageError, UsageError
from pumice.formats import oci
from pumice.image import graph
from pumice.image.model import Image
from pumice.image.transports import destination, layout_index, reference
from pumice.image.transports.copying import Counts, ToRegistry, ToStore
from pumice.image.transports.sources import (
    GraphBlobs,
    LocalSource,
    RegistryBlobs,
    RegistrySource,
    image_of,
    plain,
)
from pumice.registry.reference import SCHEME, Reference, Repository, parse_reference, validate_tag

if TYPE_CHECKING:
    from pumice.formats.oci import Descriptor, Platform
    from pumice.image.graph import Graph, Source
    from pumice.image.transports.destination import Destination
    from pumice.progress import Progress
    from pumice.registry.client import Client
    from pumice.store.home import Home

STORE = "store:"


class Found(msgspec.Struct, frozen=True):
    """An image to copy: its root, where it is read from, and the version that it is known by there.

    ``image`` is the same as what a signature is looked for of.
    """

    root: oci.Descriptor
    source: graph.Source
    image: Image
    name: str = ""
    version: str = ""
    repository: Repository | None = None
    in_store: bool = False


def find(text: str, home: Home, client: Client) -> Image:
    """Return the image that a REF names, wherever it is; raises PumiceError."""
    if not text.startswith(SCHEME):
        return reference.find(text.removeprefix(STORE), home)
    named = parse_reference(text)
    root = client.resolve(named)
    return _of_registry(root, named, client)


def _of_registry(root: Descriptor, named: Reference, client: Client) -> Image:
    blobs = RegistryBlobs(client, named.repository, root)
    known_as = "" if named.digest else str(named)
    return Image(root, blobs, blobs.referrers, known_as=known_as)


def locate(text: str, home: Home, client: Client) -> Found:
    """Return the image that a SRC names, with what is needed to find what belongs to it."""
    if text.startswith(SCHEME):
        named = parse_reference(text)
        source = RegistrySource(client, named.repository)
        version = named.tag or f"digest-{named.digest.partition(':')[2][:12]}"
        root = client.get_manifest(named).descriptor
        image = _of_registry(root, named, client)
        return Found(root, source, image, str(named.repository), version, named.repository)
    name = text.removeprefix(STORE)
    image = reference.find(name, home)
    kind, _, rest = text.partition(":")
    in_store = kind not in reference.OUTSIDE
    if in_store:
        stem, version = _known_as(name, image.root, home)
    else:
        stem, version = layout_index.known_name(image.root)
        asked = rest.partition(":")[2]
        version = asked if asked and not stem else version
    return Found(plain(image.root), LocalSource(image), image, stem, version, in_store=in_store)


def _known_as(name: str, root: Descriptor, home: Home) -> tuple[str, str]:
    """Return the name and version in the store of what was found by ``name``; empty if it has none."""
    if home.refs.get(name) if ":" in name.rpartition("/")[2] and not name.startswith("sha256:") else None:
        stem, _, version = name.rpartition(":")
        return stem, version
    for known, descriptor in home.refs.all().items():
        if descriptor.digest == root.digest:
            stem, _, version = known.rpartition(":")
            return stem, version
    return "", ""


class Target(msgspec.Struct, frozen=True):
    """Where a copy goes: exactly one of a registry, a name in the store, another destination."""

    registry: Reference | None = None
    store: str = ""
    other: destination.Destination | None = None


def target(text: str, version: str = "") -> Target:
    """Read a DST; ``version`` is the tag where it names none. Raises UsageError."""
    if text.startswith(SCHEME):
        return Target(registry=pushed(text, version))
    if text.startswith(STORE):
        name = text.removeprefix(STORE)
        if ":" not in name.rpartition("/")[2]:
            name = f"{name}:{version or 'latest'}"
        return Target(store=name)
    return Target(other=destination.parse(text))


def pushed(text: str, version: str = "") -> Reference:
    """Read where something is pushed to; ``version`` is the tag where it names none."""
    try:
        usable = validate_tag(version) if version else ""
    except UsageError:
        usable = ""
    named = parse_reference(text, default_tag=usable or "latest")
    if version and not usable and named.tag == "latest" and not text.endswith(":latest"):
        raise UsageError(f"the version {version!r} cannot be a tag", where=text, hint=f"write {text}:TAG")
    return named


def collect(found: Found, *, whole: bool = True, platform: Platform | None = None) -> Graph:
    """Read all that belongs to an image; of one ``platform`` only, if one is given."""
    root = found.root
    if platform is not None:
        alone = graph.gather(found.source, root, whole=False)
        root = Image(root, GraphBlobs(alone, found.source)).select(platform).root
    return graph.gather(found.source, plain(root), whole=whole)


def deliver(
    gathered: Graph,
    found: Found,
    to: Target,
    *,
    client: Client,
    home: Home,
    progress: Progress,
    stdout: BinaryIO | None = None,
) -> Counts:
    """Write a gathered image to a place; raises PumiceError, above all when something cannot go along."""
    if to.registry is not None:
        return ToRegistry(client, to.registry, mount=found.repository).write(gathered, found.source, progress)
    if to.store:
        return ToStore(home, to.store).write(gathered, found.source, progress)
    if to.other is not None:
        _deliver(gathered, found, to.other, home, progress, stdout)
    return Counts(sent=len(gathered.blobs()))


def _deliver(
    gathered: Graph,
    found: Found,
    to: Destination,
    home: Home,
    progress: Progress,
    stdout: BinaryIO | None,
) -> None:
    if to.kind in destination.ONE_PLATFORM and (count := gathered.beside()):
        raise ImageError(
            f"a {to.kind} has no place for the image's signatures, SBOMs and other referrers ({count})",
            where=str(to),
            hint="leave them out with --only-image, or write an oci-archive:",
        )
    destination.write(
        image_of(gathered, found.source),
        to,
        name=found.name,
        version=found.version,
        records=home.records,
        progress=progress,
        stdout=stdout,
    )


def push(image: Image, to: Reference, client: Client, progress: Progress) -> Counts:
    """Send an image that is at hand, with all that belongs to it."""
    source: Source = LocalSource(image)
    return ToRegistry(client, to).write(graph.gather(source, plain(image.root)), source, progress)
