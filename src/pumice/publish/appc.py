"""Publishes App Container images as a static tree, which any web server serves.

    index.html, NAME/index.html     discovery pages, which people can read
    aci/NAME-VERSION-OS-ARCH.aci    images, with their signatures (.asc)
    keys/FINGERPRINT.asc            the keys of the signatures
    images.json                     the index

Publishing again adds to the tree. Files are replaced by renaming, and a published version never changes,
unless that is asked for: then its signature file has the old and the new signature, so a client that
downloads the one during the change can verify either image. The version ``latest`` is another name of the
newest one.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit

import msgspec

from pumice import files
from pumice.errors import FormatError, TrustError, UsageError
from pumice.formats import openpgpsig
from pumice.image.regular_file import read_small
from pumice.os_errors import translate_os_errors
from pumice.publish import appc_prune
from pumice.publish.appc_index import FILE, AppcIndex, PublishedImage, find_newest, read_index
from pumice.publish.appc_pages import PublishedKey, Site, list_pages
from pumice.publish.appc_prune import Needed
from pumice.publish.torrent_files import SUFFIX as TORRENT_SUFFIX
from pumice.publish.tree_files import (
    SCRATCH,
    install_file,
    link_file,
    lock_tree,
    write_file,
)
from pumice.trust import archive_signatures, openpgp

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from pumice.progress import Progress
    from pumice.publish.unreferenced import Removed
    from pumice.trust.archive_signatures import ArchiveSigner
    from pumice.trust.openpgp import Certificate

LATEST = "latest"


class ImageFile(Protocol):
    """Writes an image to a file, with its signature next to it if there is one; returns the image ID."""

    def __call__(self, path: Path, /) -> str:
        """Write the image; raises PumiceError."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """An image to publish; ``source`` identifies its content, and ``write`` writes it."""

    name: str
    version: str
    os: str
    arch: str
    source: str
    write: ImageFile

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What distinguishes it from other images of a tree."""
        return self.name, self.version, self.os, self.arch


class Published(NamedTuple):
    """What publishing did: the images that are new or changed, the number of those that are not.

    ``removed`` is None if nothing was to be removed.
    """

    changed: tuple[PublishedImage, ...]
    unchanged: int
    directory: Path
    removed: Removed | None = None


def check_url(url: str, port: int | None = None) -> str:
    """Return the URL of a tree, without a slash at its end; raises UsageError."""
    try:
        parts = urlsplit(url)
        own_port = parts.port
    except ValueError:
        parts, own_port = urlsplit(""), None
    is_plain = not (parts.query or parts.fragment or parts.username) and url.isascii() and url.isprintable()
    if parts.scheme != "https" or not parts.hostname or not is_plain or " " in url or "{" in url:
        raise UsageError(f"{url[:100]!r} is not a URL to publish at", hint="write https://HOST[:PORT][/PATH]")
    if port is not None and own_port is None:
        url = parts._replace(netloc=f"{parts.netloc}:{port}").geturl()
    return url.rstrip("/")


def publish_tree(
    directory: Path,
    url: str,
    sources: Sequence[Source],
    signer: ArchiveSigner | None,
    progress: Progress,
    *,
    now: int,
    signed_at: int | None = None,
    replace: bool = False,
    keys: Sequence[Certificate] = (),
    write_torrents: Callable[[Mapping[str, str]], object] | None = None,
    untagged: Collection[tuple[str, str]] = (),
    grace: int | None = None,
) -> Published:
    """Publish images to a tree at a checked URL, with the signer's key and ``keys``.

    Without a signer images must have signatures already. Times are in seconds since the epoch. With
    ``replace`` a published version may change. ``write_torrents`` gets each file with the one whose torrent
    it shares. ``untagged`` are names with versions that leave the index; files that the index has
    not named for ``grace`` seconds are removed (None: no files). Raises PumiceError.
    """
    _check_sources(sources)
    with lock_tree(directory):
        old_index = read_index(directory)
        _check_untagged(untagged, old_index)
        tree = _Tree(directory, signer, progress, now=now, signed_at=signed_at, replace=replace)
        published, index = tree.publish_all(sources, old_index.without(untagged))
        tree.write_keys(keys)
        pages = tree.make_pages(index, url)
        needed = Needed(frozenset(_find_origins(index)), frozenset(pages))
        # Before the index: if this process is killed then, everything that the index lacks is noted.
        notes = appc_prune.note_unpublished(directory, needed, [name for name, _ in untagged], now)
        tree.write_index(index, pages)
        if write_torrents is not None:
            write_torrents(_find_origins(index))
        removed = None if grace is None else appc_prune.remove_unpublished(directory, notes, now, grace)
    changed = tuple(image for image in published if old_index.find(image.key) != image)
    return Published(changed, len(published) - len(changed), directory, removed)


def _check_untagged(untagged: Collection[tuple[str, str]], index: AppcIndex) -> None:
    """Raise UsageError for an image that a tree does not have."""
    versions = {(image.name, image.version) for image in index.images}
    for name, version in untagged:
        if (name, version) not in versions:
            raise UsageError(f"{name[:100]}:{version[:100]} is not published in the directory")


def _check_sources(sources: Iterable[Source]) -> None:
    """Raise UsageError for an image that nobody could discover."""
    for source in sources:
        if "." not in source.name.partition("/")[0]:
            raise UsageError(
                f"{source.name[:100]!r} does not begin with a host, so it cannot be discovered",
                hint="give it a name such as example.com/hello, for example with 'pumice tag'",
            )
        for label, value in (("version", source.version), ("os", source.os), ("arch", source.arch)):
            if not value or "/" in value or not value.isprintable() or value.startswith("."):
                problem = f"has the {label} {value[:60]!r}" if value else f"has no {label}"
                raise UsageError(f"{source.name[:100]} {problem}, so it cannot be a part of a URL")


def _file_name(image: Source) -> str:
    return f"aci/{'-'.join(image.key)}.aci"


def list_files(index: AppcIndex) -> set[str]:
    """Return the files of the images."""
    return {image.file for image in index.images}


def find_aliases(index: AppcIndex) -> dict[str, PublishedImage]:
    """Return the newest version of each image by its other file, which has ``latest`` in its name."""
    groups: dict[tuple[str, str, str], list[PublishedImage]] = {}
    for image in index.images:
        groups.setdefault((image.name, image.os, image.arch), []).append(image)
    aliases = {
        f"aci/{name}-{LATEST}-{system}-{architecture}.aci": find_newest(images)
        for (name, system, architecture), images in groups.items()
    }
    files = list_files(index)
    return {file: image for file, image in aliases.items() if file not in files}


def _find_origins(index: AppcIndex) -> dict[str, str]:
    """Return each file of a tree with the file of the version that it has."""
    aliases = {file: newest.file for file, newest in find_aliases(index).items()}
    return {**{file: file for file in list_files(index)}, **aliases}


class _Tree:
    """A tree that is being published."""

    def __init__(
        self,
        directory: Path,
        signer: ArchiveSigner | None,
        progress: Progress,
        *,
        now: int,
        signed_at: int | None,
        replace: bool,
    ) -> None:
        self._directory = directory
        self._signer = signer
        self._progress = progress
        self._now = now
        self._signed_at = signed_at
        self._replace = replace

    def publish_all(
        self, sources: Sequence[Source], index: AppcIndex
    ) -> tuple[list[PublishedImage], AppcIndex]:
        """Write images and their signatures; return them, and the index with them."""
        published: list[PublishedImage] = []
        for source in sources:
            image = self.publish(source, index)
            index = index.with_images([image])
            published.append(image)
        return published, index

    def publish(self, source: Source, index: AppcIndex) -> PublishedImage:
        """Write an image and its signature, unless they are there already."""
        old = index.find(source.key)
        if old is not None and old.source == source.source and self._is_intact(old):
            return old
        with translate_os_errors(str(self._directory)):
            scratch = tempfile.TemporaryDirectory(dir=self._directory, prefix=SCRATCH)
        with scratch as folder:
            path = Path(folder, "image.aci")
            image_id = source.write(path)
            image = PublishedImage(
                name=source.name,
                version=source.version,
                os=source.os,
                arch=source.arch,
                file=_file_name(source),
                size=path.stat().st_size,
                image_id=image_id,
                source=source.source,
            )
            self._check_place(image, index)
            return self._install(path, image)

    def _check_place(self, image: PublishedImage, index: AppcIndex) -> None:
        """Raise UsageError if another image has the place of an image."""
        old = index.find(image.key)
        if old is not None and old.image_id != image.image_id and not self._replace:
            raise UsageError(
                f"another image is published as {image.name}:{image.version} for {image.os}/{image.arch}",
                where=str(self._directory / old.file),
                hint="publish it as another version, or pass --replace",
            )
        for other in index.images:
            if other.file == image.file and other.key != image.key:
                raise UsageError(
                    f"{image.name}:{image.version} would have the same file as {other.name}:{other.version}",
                    where=str(self._directory / image.file),
                    hint="a file is named NAME-VERSION-OS-ARCH: choose another name or version",
                )

    def _is_intact(self, image: PublishedImage) -> bool:
        """Return whether the files of an image are there, signed by the key that signs now."""
        path = self._directory / image.file
        if self._signer is not None and self._signer.certificate.fingerprint not in image.signers:
            return False
        return (
            files.is_file(path)
            and path.stat().st_size == image.size
            and files.is_file(archive_signatures.signature_path(path))
        )

    def _install(self, scratch: Path, image: PublishedImage) -> PublishedImage:
        if self._signer is not None:
            archive_signatures.sign_archive(scratch, self._signer, now=self._now, signed_at=self._signed_at)
        new = read_small(archive_signatures.signature_path(scratch), openpgpsig.MAX_FILE)
        signatures = [each for each in openpgpsig.read_signatures(new or b"") if not each.problem]
        if not signatures:
            raise TrustError(
                "the image is not signed, so nobody could fetch it",
                where=f"{image.name}:{image.version}",
                hint="pass --key with an OpenPGP key: pumice key generate --openpgp USER-ID",
            )
        target = self._directory / image.file
        old = read_small(archive_signatures.signature_path(target), openpgpsig.MAX_FILE) or b""
        kept = [each.data for each in openpgpsig.read_signatures(old) if not each.problem]
        packets = list(dict.fromkeys([*(each.data for each in signatures), *kept]))
        armored = openpgpsig.encode_armor(packets[: openpgpsig.MAX_SIGNATURES])
        write_file(archive_signatures.signature_path(target), armored)
        files.unlink_quietly(f"{target}{TORRENT_SUFFIX}")  # it is for the old content
        install_file(scratch, target)
        signers = self._name_signers({each.issuer for each in signatures if each.issuer})
        return msgspec.structs.replace(image, signers=signers)

    def _name_signers(self, issuers: set[str]) -> tuple[str, ...]:
        """Return who signed: issuers, and the fingerprint of our key in the place of its subkeys."""
        if self._signer is None:
            return tuple(sorted(issuers))
        ring = openpgp.make_keyring([self._signer.certificate])
        others = {issuer for issuer in issuers if ring.find_certificate(issuer) is None}
        return tuple(sorted({self._signer.certificate.fingerprint, *others}))

    def make_pages(self, index: AppcIndex, url: str) -> dict[str, bytes]:
        """Return the pages of the tree by their paths."""
        return list_pages(Site(url, index.images, self._list_keys()))

    def write_index(self, index: AppcIndex, pages: Mapping[str, bytes]) -> None:
        """Write the links of the newest versions, the index and the pages."""
        for file, newest in find_aliases(index).items():
            path, alias = self._directory / newest.file, self._directory / file
            self._merge_signatures(path, alias)
            if not (alias.exists() and alias.samefile(path)):
                files.unlink_quietly(f"{alias}{TORRENT_SUFFIX}")
            link_file(path, alias)
        write_file(self._directory / FILE, index.encode())
        for page, data in pages.items():
            write_file(self._directory / page, data)

    def _merge_signatures(self, path: Path, alias: Path) -> None:
        """Write the signatures of both images that the other name has during the change."""
        signature, old_signature = map(archive_signatures.signature_path, (path, alias))
        new = read_small(signature, openpgpsig.MAX_FILE) or b""
        old = b""
        if alias.exists() and not alias.samefile(path):
            old = read_small(old_signature, openpgpsig.MAX_FILE) or b""
        packets = [
            each.data for data in (new, old) for each in openpgpsig.read_signatures(data) if not each.problem
        ]
        if alias.exists() and alias.samefile(path) and old_signature.exists():
            return
        write_file(old_signature, openpgpsig.encode_armor(list(dict.fromkeys(packets))))

    def write_keys(self, keys: Sequence[Certificate]) -> None:
        """Write the keys that clients verify the signatures with."""
        own = [self._signer.certificate] if self._signer is not None else []
        for certificate in (*own, *keys):
            write_file(self._directory / f"keys/{certificate.fingerprint}.asc", certificate.pem())

    def _list_keys(self) -> tuple[PublishedKey, ...]:
        """Return all keys of the tree, also those of earlier times; raises FormatError."""
        keys = []
        for path in sorted((self._directory / "keys").glob("*.asc")):
            data = read_small(path, openpgp.MAX_FILE) or b""
            try:
                certificate = openpgp.parse_certificate(data)
            except FormatError as error:
                raise FormatError(error.message, where=str(path), hint="remove the file") from None
            keys.append(PublishedKey(certificate.fingerprint, f"keys/{path.name}", certificate.user_id))
        return tuple(keys)
