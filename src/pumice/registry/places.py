"""Where images are read from and written to, registries included: the words of the command line.

``docker://HOST/NAME[:TAG][@DIGEST]`` is a registry's, ``store:NAME:VERSION`` (and a bare name where
something is read) the store's, and the rest is `pumice.image`'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice.errors import UsageError
from pumice.formats import oci
from pumice.image import destination, layout, layout_archive, reference
from pumice.image.beside import is_beside
from pumice.image.model import Image
from pumice.registry import content, graph
from pumice.registry.copying import Counts, ToRegistry, ToStore, index_of
from pumice.registry.reference import SCHEME, Reference, Repository, check_tag, fallback_tag, parse
from pumice.registry.sources import GraphBlobs, LocalSource, RegistryBlobs, RegistrySource

if TYPE_CHECKING:
    from pumice.formats.oci import Descriptor, Platform
    from pumice.image.destination import Destination
    from pumice.progress import Progress
    from pumice.registry.client import Client
    from pumice.registry.graph import Graph, Source
    from pumice.store.home import Home

STORE = "store:"


class Found(msgspec.Struct, frozen=True):
    """An image to copy: its root, where it is read from, and the version that it is known by there."""

    root: oci.Descriptor
    source: graph.Source
    name: str = ""
    version: str = ""
    repository: Repository | None = None


def find(text: str, home: Home, client: Client) -> Image:
    """Return the image that a REF names, wherever it is; raises PumiceError."""
    if not text.startswith(SCHEME):
        return reference.find(text.removeprefix(STORE), home)
    named = parse(text)
    root = client.resolve(named)
    return Image(root, RegistryBlobs(client, named.repository, root))


def locate(text: str, home: Home, client: Client) -> Found:
    """Return the image that a SRC names, with what is needed to find what belongs to it."""
    if text.startswith(SCHEME):
        named = parse(text)
        source = RegistrySource(client, named.repository)
        version = named.tag or f"digest-{named.digest.partition(':')[2][:12]}"
        return Found(
            client.manifest(named).descriptor, source, str(named.repository), version, named.repository
        )
    kind, _, rest = text.partition(":")
    if kind in ("oci", "oci-archive"):
        return _outside(kind, rest, reference.find(text, home).root)
    name = text.removeprefix(STORE)
    image = reference.find(name, home)
    stem, version = _known_as(name, image.root, home)
    beside = {known.rpartition(":")[2]: known for known in home.refs.names() if _belongs(known, stem)}
    tags = {tag: root for tag, known in beside.items() if (root := home.refs.get(known)) is not None}
    return Found(image.root, LocalSource(home.blobs, tags), stem, version)


def _belongs(known: str, stem: str) -> bool:
    name, _, version = known.rpartition(":")
    return name == stem and is_beside(version)


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


def _outside(kind: str, rest: str, root: Descriptor) -> Found:
    path, _, tag = rest.partition(":")
    if kind == "oci":
        index, blobs = layout.index_of(Path(path)), layout.LayoutBlobs(Path(path))
    else:
        index, blobs = layout_archive.read_all(Path(path))  # type: ignore[assignment]
    named = {layout.tag_of(one): _bare(one) for one in index.manifests if is_beside(layout.tag_of(one))}
    loose = [_bare(one) for one in index.manifests if not layout.tag_of(one)]
    known = next((layout.tag_of(one) for one in index.manifests if one.digest == root.digest), "")
    return Found(_bare(root), LocalSource(blobs, named, loose), "", tag or known)


def _bare(descriptor: Descriptor) -> Descriptor:
    """A descriptor without the annotations that a layout's index adds to it."""
    return oci.Descriptor(descriptor.media_type, descriptor.digest, descriptor.size)


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
        usable = check_tag(version) if version else ""
    except UsageError:
        usable = ""
    named = parse(text, tag=usable or "latest")
    if version and not usable and named.tag == "latest" and not text.endswith(":latest"):
        raise UsageError(f"the version {version!r} cannot be a tag", where=text, hint=f"write {text}:TAG")
    return named


def collect(found: Found, *, whole: bool = True, platform: Platform | None = None) -> Graph:
    """Read all that belongs to an image; of one ``platform`` only, if one is given."""
    root = found.root
    if platform is not None:
        alone = graph.gather(found.source, root, whole=False)
        root = Image(root, GraphBlobs(alone, found.source)).select(platform).root
    return graph.gather(found.source, _bare(root), whole=whole)


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
    blobs = GraphBlobs(gathered, found.source)
    beside = {tag: Image(_bare(one), blobs) for tag, one in gathered.tags.items()}
    for subject, links in gathered.lists.items():
        data = index_of(links)
        blobs.add(data)
        root = oci.Descriptor(oci.INDEX, content.digest_of(data), len(data))
        beside[fallback_tag(subject)] = Image(root, blobs)
    destination.write(
        Image(_bare(gathered.nodes[gathered.root.digest].descriptor), blobs),
        to,
        name=found.name,
        version=found.version,
        beside=beside,
        records=home.records,
        progress=progress,
        stdout=stdout,
    )


def push(image: Image, to: Reference, client: Client, progress: Progress) -> Counts:
    """Send an image that was just made, and that nothing belongs to yet."""
    source: Source = LocalSource(image.blobs, {})
    return ToRegistry(client, to).write(graph.gather(source, image.root, whole=False), source, progress)
