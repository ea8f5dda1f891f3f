"""Downloads the package indexes of all sources in parallel, verifies and caches them."""

from __future__ import annotations

import hashlib
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

import msgspec

from pumice.distro.debian.suites import SuiteUniverse
from pumice.distro.preferences import SuitePolicy, compute_release_priority
from pumice.errors import FetchError, FormatError, PumiceError, TrustError
from pumice.fetch import index_cache, releases
from pumice.fetch.network_rules import without_login
from pumice.fetch.thread_pool import thread_pool
from pumice.fetch.transfer import MissingError
from pumice.formats import aptindex
from pumice.formats.compression import DecompressedStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pumice.distro.debian.sources import Source
    from pumice.distro.universe import Universe
    from pumice.fetch.releases import VerifiedRelease
    from pumice.fetch.session import Session
    from pumice.formats.aptindex import Index
    from pumice.formats.aptrelease import FileHash
    from pumice.recipe.lock import LockedIndex

_THREADS = 8
# gzip before the smaller xz: it is decompressed ten times faster, which no network makes up for.
_EXTENSIONS = (".gz", ".xz", "")


class Indexes:
    """The indexes of all sources. ``locked`` are the signed Release files that they belong to."""

    def __init__(
        self,
        locked: Sequence[LockedIndex],
        indexes: dict[str, list[Index]],
        policies: dict[str, SuitePolicy],
        find_suites: Callable[[str, str], Iterable[str]],
    ) -> None:
        self.locked = tuple(locked)
        self._universes = {
            name: SuiteUniverse(name, suite_indexes, policies, find_suites)
            for name, suite_indexes in indexes.items()
        }

    def universe(self, architecture: str) -> Universe:
        """Return the packages for ``architecture``; raises KeyError if it was not loaded."""
        return self._universes[architecture]


def load_indexes(
    sources: Sequence[Source], architectures: Sequence[str], session: Session, *, date: int = 0
) -> Indexes:
    """Return the verified indexes of ``sources`` for Debian ``architectures``.

    ``date`` (seconds since the epoch, 0: now) selects the snapshot on snapshot mirrors.
    Raises FetchError, TrustError, FormatError or StoreError.
    """
    for problem in session.machine.problems if session.machine else ():
        session.progress.warn(f"ignoring a part of apt's configuration: {problem}")
    with thread_pool(_THREADS, "index") as executor:
        timestamp = date or session.clock.now()
        found_suites = list(
            executor.map(lambda source: releases.find_release(source, session, timestamp), sources)
        )
        suites = [suite for suite in found_suites if suite is not None]
        _warn_of_missing_suites(sources, found_suites, session)
        jobs = [
            (suite, architecture, index)
            for architecture in architectures
            for suite in suites
            for index in _index_names(suite, architecture)
        ]
        loaded_indexes = list(
            executor.map(lambda job: _IndexLoader(job[0], session, timestamp).load(job[2]), jobs)
        )
    indexes: dict[str, list[Index]] = {name: [] for name in architectures}
    keys: dict[str, list[str]] = {}
    for (suite, architecture, _), (key, index) in zip(jobs, loaded_indexes, strict=True):
        indexes[architecture].append(index)
        keys.setdefault(suite.source.label, []).append(key)
    _record_used_indexes(suites, keys, session)
    policies = {suite.source.label: _make_suite_policy(suite) for suite in suites}
    find_suites = partial(index_cache.find_suites, session.home.directory("indexes"))
    return Indexes([suite.locked for suite in suites], indexes, policies, find_suites)


def _make_suite_policy(suite: VerifiedRelease) -> SuitePolicy:
    source, release = suite.source, suite.release
    return SuitePolicy(
        extra=source.extra,
        packages=source.packages,
        priority=source.priority,
        release_priority=compute_release_priority(
            not_automatic=release.not_automatic, automatic_upgrades=release.automatic_upgrades
        ),
    )


def _warn_of_missing_suites(
    sources: Sequence[Source], suites: Sequence[VerifiedRelease | None], session: Session
) -> None:
    for source, suite in zip(sources, suites, strict=True):
        if suite is None:
            consequence = (
                ", including security updates" if source.suite.endswith(("-security", "/updates")) else ""
            )
            session.progress.warn(
                f"the mirrors do not have {source.suite}: the image gets no packages from it{consequence}"
            )


def _record_used_indexes(
    suites: Sequence[VerifiedRelease], keys: dict[str, list[str]], session: Session
) -> None:
    """Record which indexes are in use, and remove the others from the cache."""
    folder = session.home.directory("indexes")
    has_changed = False
    for suite in suites:
        used_keys = tuple(sorted(set(keys.get(suite.source.label, ()))))
        # Also keep the indexes that were loaded for other architectures of the same Release.
        listed_keys = tuple(key for key in suite.record.indexes if _is_listed(suite, key))
        kept_keys = tuple(sorted({*used_keys, *listed_keys}))
        if kept_keys != suite.record.indexes:
            has_changed = True
            index_cache.put_release(folder, msgspec.structs.replace(suite.record, indexes=kept_keys))
    if has_changed:
        index_cache.remove_unused(folder, session.clock.now())


def _is_listed(suite: VerifiedRelease, key: str) -> bool:
    return any(key in text for text in suite.release.lists.values())


def _index_names(suite: VerifiedRelease, architecture: str) -> list[str]:
    """Return the paths of a suite's indexes for one architecture, without the extension of a compression."""
    release, source = suite.release, suite.source
    if source.is_flat:
        if not _find_listed_forms(suite, "Packages"):
            raise FetchError(f"the Release of {source.label} lists no Packages file")
        return ["Packages"]
    if release.architectures and architecture not in release.architectures and not source.optional:
        raise FetchError(
            f"{source.label} has no packages for {architecture}",
            hint=f"it has {', '.join(release.architectures)}",
        )
    index_names = []
    for component in source.components:
        names = [f"{component}/binary-{architecture}/Packages"]
        if release.separate_all:
            names.append(f"{component}/binary-all/Packages")
        listed_names = [name for name in names if _find_listed_forms(suite, name)]
        if not listed_names and not source.optional:
            raise FetchError(
                f"{source.label} has no component {component} for {architecture}",
                hint=f"it has {', '.join(release.components)}",
            )
        index_names += listed_names
    return index_names


def _find_listed_forms(suite: VerifiedRelease, name: str) -> list[tuple[str, FileHash]]:
    """Return (path, hash) of each form of an index that the Release lists, the preferred one first."""
    paths = [name + extension for extension in _EXTENSIONS]
    return [(path, file_hash) for path in paths if (file_hash := suite.release.find_file(path)) is not None]


class _IndexLoader:
    """Loads the indexes of one suite, from the cache or a mirror."""

    def __init__(self, suite: VerifiedRelease, session: Session, date: int) -> None:
        self._suite = suite
        self._session = session
        self._label = suite.source.label
        self._folder = session.home.directory("indexes")
        # The mirror of the Release comes first; any mirror will do, as the content is verified by digest.
        urls = [suite.url, *(url for _, url, _ in releases.mirror_locations(suite.source, date))]
        self._urls = list(dict.fromkeys(urls))

    def load(self, name: str) -> tuple[str, Index]:
        """Return (key, index) of the index at ``name``."""
        forms = _find_listed_forms(self._suite, name)
        uncompressed = self._suite.release.find_file(name)
        file_hash = uncompressed or forms[0][1]
        key = file_hash.sha256 or file_hash.sha512
        index = index_cache.get_index(self._folder, key, self._label)
        if index is not None:
            return key, index
        data = self._fetch(forms, uncompressed.size if uncompressed else aptindex.MAX_INDEX)
        if uncompressed is not None and len(data) != uncompressed.size:
            raise TrustError(f"the index {name} does not have the size in its Release", where=self._label)
        table = aptindex.scan_index(data)
        index_cache.put_index(self._folder, key, data, table)
        # The cached copy is mapped, not read into memory: that saves fifty megabytes.
        index = index_cache.get_index(self._folder, key, self._label)
        return key, index or aptindex.Index(data, table, self._label)

    def _fetch(self, forms: Sequence[tuple[str, FileHash]], limit: int) -> bytes | bytearray:
        problems: list[PumiceError] = []
        for mirror_url in self._urls:
            for path, file_hash in forms:
                for file_url in self._make_file_urls(mirror_url, path, file_hash):
                    try:
                        return _decompress(self._download(file_url, file_hash, path), path, limit)
                    except (FetchError, TrustError, FormatError) as error:
                        problems.append(error)
                    if not isinstance(problems[-1], MissingError):
                        break
        raise releases.combine_problems(problems, f"{self._label} ({forms[0][0]})")

    def _make_file_urls(self, mirror_url: str, path: str, file_hash: FileHash) -> list[str]:
        """Return the URLs of a file: by digest (which survives updates of the suite), and by name."""
        url_by_name = f"{self._suite.source.folder(mirror_url)}/{path}"
        if not self._suite.release.by_hash:
            return [url_by_name]
        folder = f"{url_by_name.rpartition('/')[0]}/by-hash"
        algorithm, digits = ("SHA256", file_hash.sha256) if file_hash.sha256 else ("SHA512", file_hash.sha512)
        return [f"{folder}/{algorithm}/{digits}", url_by_name]

    def _download(self, url: str, file_hash: FileHash, path: str) -> bytes:
        body = bytearray()
        label = f"{self._label} {path.rpartition('/')[0].replace('/binary-', ' ')}"
        self._session.download(url, body.extend, size=file_hash.size, label=label)
        verify_digests(body, file_hash.sha256, file_hash.sha512, without_login(url))
        return bytes(body)


def verify_digests(data: bytes | bytearray, sha256: str, sha512: str, where: str) -> None:
    """Raise TrustError unless ``data`` has these hex digests; at least one must not be empty."""
    for expected, algorithm in ((sha256, "sha256"), (sha512, "sha512")):
        if expected and hashlib.new(algorithm, data).hexdigest() != expected:
            raise TrustError(
                f"the file does not have the {algorithm} digest in the signed Release",
                where=where,
                hint="the mirror is being updated, damaged or hostile: try again, or use another mirror",
            )
    if not (sha256 or sha512):
        raise TrustError("the signed Release has no SHA-256 or SHA-512 digest of the file", where=where)


def _decompress(data: bytes, path: str, limit: int) -> bytes | bytearray:
    """Return the content of an index whose compressed form has been verified."""
    if path.endswith(".gz") and len(data) > 18 and int.from_bytes(data[-4:], "little") <= limit:
        import deflate

        try:
            content: bytes | bytearray = deflate.gzip_decompress(data)
        except (deflate.DeflateError, ValueError):
            content = b""
        # A file with several gzip members ends with the length of the last one; only the slow path reads it.
        if len(content) == int.from_bytes(data[-4:], "little"):
            return content
    kind = {"z": "gzip", "xz": "xz"}.get(path.rpartition(".")[2].removeprefix("g"), "plain")
    return DecompressedStream(BytesIO(data), kind, limit=limit).read(limit + 1)
