"""Images in the local store: ``store:NAME[:VERSION]``, or no scheme at all.

``example.com/hello:1.0`` names one version, ``example.com/hello`` the only version, and
``sha256:8c2d…`` or ``8c2d07`` an image by its digest or the beginning of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice import digest
from pumice.errors import FormatError, ImageError, PumiceError, TrustError, UsageError
from pumice.formats import oci
from pumice.image.model import Image, wrong_content
from pumice.image.transports.locations import (
    Address,
    Description,
    OpenedImage,
    count_outcomes,
    open_local_source,
)
from pumice.store.blobs import write_blob

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.image.graph import Source
    from pumice.image.transports.locations import Access, Attachment, Counts, OutgoingImage
    from pumice.progress import Progress, Task
    from pumice.registry.parallel import Cancellation
    from pumice.store.directory_blobs import DirectoryWriter
    from pumice.store.home import Home

_HEX_DIGITS = frozenset("0123456789abcdef")
_MIN_DIGITS = 4
_ALGORITHM = "sha256:"
_CHUNK = 1 << 18
"""Number of bytes to receive at once: few enough to stay in the processor's cache until they are written."""


class StoreLocation:
    """An image in the store.

    With ``any_version``, its version need not be a tag that registries accept: App Container has others.
    """

    def __init__(self, address: Address, *, any_version: bool = False) -> None:
        self.address = address
        self._check_name = check_stored_name if any_version else check_name

    def open(self, access: Access) -> OpenedImage:
        """Return the image; raises ImageError if there is none, or several."""
        image = find_image(self.address.path, access.home)
        name, version = _find_name(self.address.path, image.root, access.home)
        return OpenedImage(image, lambda: open_local_source(image), name, version)

    def check(self, name: str, version: str) -> None:
        """Refuse what is not a name; raises UsageError."""
        self._check_name(self._make_full_name(version), self.address.path)

    def write(self, outgoing: OutgoingImage, access: Access) -> Counts:
        """Fetch the blobs that the store does not have; the name is set last."""
        name = self._make_full_name(outgoing.version)
        self._check_name(name, self.address.path)
        return _StoreWriter(access.home, name).write(outgoing, access.progress)

    def attach(self, image: Image, access: Access) -> Attachment:
        """Return an attachment that adds signatures to images in the store."""
        from pumice.image.transports.attachment import StoreAttachment

        return StoreAttachment(access.home)

    def describe(self, version: str = "") -> Description:
        """Return the name of the image."""
        name = "" if self.address.path.startswith(_ALGORITHM) else self.address.path
        return Description(f"{self.address.transport.scheme}{self._make_full_name(version)}", name)

    def _make_full_name(self, version: str) -> str:
        name = self.address.path
        return name if _has_version(name) else f"{name}:{version or 'latest'}"


def check_name(name: str, text: str | None = None) -> None:
    """Raise UsageError unless ``name`` is NAME:TAG, as registries require it; ``text`` is what was typed."""
    from pumice.formats.image_names import is_full_name, is_tag

    repository, _, tag = name.rpartition(":")
    text = text if text is not None else name
    if is_full_name(repository) and is_tag(tag):
        return
    from pumice.registry import reference

    if reference.has_registry_host(name):  # with the address of an IPv6 host, for example
        reference.parse_reference(name)
        return
    hint = "write name[:version], such as example.com/app:1.0, with the name in lower case"
    before, colon, _ = name.rpartition("/")[0].rpartition(":")
    if colon and is_full_name(before):  # a colon before the last component can only be meant as a tag
        hint = f"a tag has no slash: write {before}:TAG"
    raise UsageError(f"invalid image name {text[:200]!r}", hint=hint)


def check_stored_name(name: str, text: str | None = None) -> None:
    """Raise UsageError unless the store can have the name, whose version may have ``+`` and ``~``."""
    from pumice.formats.image_names import is_full_name
    from pumice.store import file_names

    if is_full_name(name.rpartition(":")[0]):
        file_names.encode_reference(name)
    else:
        check_name(name, text)


def _has_version(name: str) -> bool:
    return ":" in name.rpartition("/")[2]


def _find_name(reference: str, root: Descriptor, home: Home) -> tuple[str, str]:
    """Return the name and version of an image that ``reference`` found; empty if it has none."""
    if _has_version(reference) and not reference.startswith(_ALGORITHM) and home.refs.get(reference):
        name, _, version = reference.rpartition(":")
        return name, version
    for full_name, descriptor in home.refs.all().items():
        if descriptor.digest == root.digest:
            name, _, version = full_name.rpartition(":")
            return name, version
    return "", ""


# Reading ------------------------------------------------------------------------------------------


def holds(reference: str, home: Home) -> bool:
    """Return whether the store has an image of this name, or a blob of this whole digest."""
    if reference.startswith(_ALGORITHM):
        is_whole = len(reference) == len(_ALGORITHM) + 64 and is_digest(reference)
        return is_whole and home.blobs.size(reference) is not None
    names = home.refs.names()
    return reference in names or any(name.rpartition(":")[0] == reference for name in names)


def is_digest(reference: str) -> bool:
    """Return whether a reference is a digest or the beginning of one, with or without its algorithm."""
    return is_digest_prefix(reference.removeprefix(_ALGORITHM))


def find_image(reference: str, home: Home) -> Image:
    """Return the image with a name or digest; raises ImageError if there is none, or several."""
    if reference.startswith(_ALGORITHM):
        return _find_digest(reference[len(_ALGORITHM) :], reference, home)
    if not _has_version(reference):
        return _find_only_version(reference, home)
    descriptor = home.refs.get(reference)
    if descriptor is None:
        raise _make_not_found_error(reference, home)
    return Image(descriptor, home.blobs, home.referrers.get)


def _find_only_version(name: str, home: Home) -> Image:
    versions = [full_name for full_name in home.refs.names() if full_name.rpartition(":")[0] == name]
    if len(versions) == 1:
        descriptor = home.refs.get(versions[0])
        if descriptor is not None:
            return Image(descriptor, home.blobs, home.referrers.get)
    if len(versions) > 1:
        raise ImageError(
            f"there are {len(versions)} versions of {name}", hint="write one of " + ", ".join(versions[:10])
        )
    if is_digest_prefix(name):
        return _find_digest(name, name, home)
    raise _make_not_found_error(name, home)


def is_digest_prefix(digits: str) -> bool:
    """Whether ``digits`` are enough hexadecimal digits to be the beginning of a digest, or all of it."""
    return _HEX_DIGITS.issuperset(digits) and _MIN_DIGITS <= len(digits) <= 64


def _find_digest(digits: str, reference: str, home: Home) -> Image:
    if not is_digest_prefix(digits):
        raise UsageError(
            f"invalid digest {reference[:100]!r}",
            hint=f"write sha256: and {_MIN_DIGITS} to 64 lower-case hexadecimal digits",
        )
    prefix = _ALGORITHM + digits
    if len(digits) == 64:
        candidates: Iterable[Digest] = (prefix,)
    else:
        candidates = sorted(name for name in home.blobs.digests() if name.startswith(prefix))
    roots = [root for candidate in candidates if (root := _read_root(candidate, home)) is not None]
    if not roots:
        raise _make_not_found_error(reference, home)
    if len(roots) > 1:
        raise ImageError(
            f"{len(roots)} images have a digest that begins with {digits}",
            hint="write more of it: " + ", ".join(root.digest[7:23] for root in roots[:5]),
        )
    return Image(roots[0], home.blobs, home.referrers.get)


def _read_root(name: Digest, home: Home) -> Descriptor | None:
    """Return the descriptor of a blob if it is a manifest or index."""
    size = home.blobs.size(name)
    if size is None or size > oci.MAX_DOCUMENT:
        return None
    with home.blobs.open(name) as file:
        data = file.read(size)
    try:
        document = oci.read_index(data) if oci.is_index(data) else oci.read_manifest(data)
    except FormatError:
        return None
    media_type = oci.INDEX if isinstance(document, oci.Index) else oci.MANIFEST
    return oci.Descriptor(document.media_type or media_type, name, size)


def _make_not_found_error(reference: str, home: Home) -> PumiceError:
    from pumice.image.transports import mistakes

    return mistakes.explain_absence(reference, home)


# Writing ------------------------------------------------------------------------------------------


class _StoreWriter:
    """Writes an image with everything that belongs to it to the store, under a name."""

    def __init__(self, home: Home, name: str) -> None:
        """``name`` is ``name:version``."""
        self._home = home
        self._name = name

    def write(self, outgoing: OutgoingImage, progress: Progress) -> Counts:
        from pumice.progress import Silent
        from pumice.registry.parallel import Cancellation, map_parallel

        gathered = outgoing.gather()
        graph, source = gathered.graph, gathered.source
        blobs = sorted(graph.blobs().values(), key=lambda blob: (-blob.size, blob.digest))
        for descriptor in (*blobs, *(node.descriptor for node in graph.nodes.values())):
            digest.check(descriptor.digest)
        referrers = graph.referrers_by_subject()
        cancellation = Cancellation()
        missing_size = sum(blob.size for blob in blobs if self._home.blobs.size(blob.digest) is None)
        display = progress if missing_size else Silent()  # nothing is fetched to give an image a name
        verb = "pulling" if gathered.repository else "storing"
        with display.task(f"{verb} {self._name}", missing_size) as task:
            outcomes = map_parallel(
                lambda blob: self._fetch(blob, source, task, cancellation), blobs, cancellation=cancellation
            )
        for node in graph.nodes.values():
            self._put_document(node.data)
        for subject, descriptors in referrers.items():
            self._home.referrers.add(subject, descriptors)
        if outgoing.archive_mark is not None:
            self._home.archive_marks.add(graph.root.digest, outgoing.archive_mark)
        self._home.refs.set(self._name, graph.root)
        return count_outcomes(blobs, outcomes)

    def _fetch(self, blob: Descriptor, source: Source, task: Task, cancellation: Cancellation) -> str:
        """Return ``sent``, ``present``, or ``left`` for a blob that need not be distributed."""
        from pumice.image.graph import may_be_absent
        from pumice.registry.message import TransportError

        cancellation.raise_if_cancelled()
        if self._home.blobs.size(blob.digest) is not None:
            return "present"
        try:
            self._copy(blob, source, task, cancellation)
        except TransportError:
            raise
        except PumiceError:
            if may_be_absent(blob):
                return "left"
            raise
        return "sent"

    def _copy(self, blob: Descriptor, source: Source, task: Task, cancellation: Cancellation) -> None:
        from pumice.image.graph import FileSource

        file_source = source if isinstance(source, FileSource) else None
        if file_source is not None and (path := file_source.download(blob)) is not None:
            self._home.blobs.adopt(str(path), blob.digest)
            task.advance(blob.size)
            return
        with self._home.blobs.writer() as writer, source.open(blob) as file:
            remaining = blob.size
            while remaining > 0 and (data := file.read(min(_CHUNK, remaining))):
                cancellation.raise_if_cancelled()
                writer.write(data)
                remaining -= len(data)
                task.advance(len(data))
            if remaining or file.read(1):
                raise wrong_content(blob.digest)
            _commit(writer, blob.digest)

    def _put_document(self, data: bytes) -> None:
        name = digest.of(data)
        if self._home.blobs.size(name) is None:
            write_blob(data, self._home.blobs, name)


def _commit(writer: DirectoryWriter, name: str) -> None:
    """Commit the blob to the store; raises TrustError with the digest as the location if it differs."""
    try:
        writer.commit(name)
    except TrustError:
        raise wrong_content(name) from None
