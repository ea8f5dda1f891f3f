"""From sources to indexes that can be searched: fetched in parallel, checked, kept."""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import TYPE_CHECKING

import msgspec

from pumice.distro.debian.suites import SuiteUniverse
from pumice.distro.preferences import SuitePolicy, compute_release_priority
from pumice.errors import FetchError, FormatError, PumiceError, TrustError
from pumice.fetch import index_cache as keeping
from pumice.fetch import releases
from pumice.fetch.network_rules import without_login
from pumice.fetch.thread_pool import pool
from pumice.fetch.transfer import MissingError
from pumice.formats import aptindex
from pumice.formats.compression import DecompressedStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.distro.debian.sources import Source
    from pumice.distro.universe import Universe
    from pumice.fetch.releases import Found
    from pumice.fetch.session import Session
    from pumice.formats.aptindex import Index
    from pumice.formats.aptrelease import FileHash
    from pumice.recipe.lock import LockedIndex

_THREADS = 8
# gzip before the smaller xz: it is decompressed ten times faster, which no network makes up for.
_EXTENSIONS = (".gz", ".xz", "")


class Indexes:
    """The indexes of all sources. ``locked`` says which signed Release files they come from."""

    def __init__(
        self,
        locked: Sequence[LockedIndex],
        indexes: dict[str, list[Index]],
        standings: dict[str, SuitePolicy],
    ) -> None:
        self.locked = tuple(locked)
        self._universes = {name: SuiteUniverse(name, found, standings) for name, found in indexes.items()}

    def universe(self, architecture: str) -> Universe:
        """Return what can be installed on ``architecture``; KeyError if it was not loaded."""
        return self._universes[architecture]


def load(
    sources: Sequence[Source], architectures: Sequence[str], session: Session, *, date: int = 0
) -> Indexes:
    """Fetch, verify and open the indexes of ``sources`` for Debian ``architectures``.

    ``date`` (seconds since the epoch, 0: now) is the time that snapshot mirrors are asked for.
    Raises FetchError, TrustError, FormatError or StoreError.
    """
    for problem in session.machine.problems if session.machine else ():
        session.progress.warn(f"a part of apt's configuration is left out: {problem}")
    with pool(_THREADS, "index") as threads:
        moment = date or session.clock.now()
        found = list(threads.map(lambda source: releases.find(source, session, moment), sources))
        suites = [item for item in found if item is not None]
        _warn(sources, found, session)
        jobs = [
            (suite, architecture, index)
            for architecture in architectures
            for suite in suites
            for index in _names(suite, architecture)
        ]
        loaded = list(threads.map(lambda job: _Loader(job[0], session, moment).load(job[2]), jobs))
    indexes: dict[str, list[Index]] = {name: [] for name in architectures}
    keys: dict[str, list[str]] = {}
    for (suite, architecture, _), (key, index) in zip(jobs, loaded, strict=True):
        indexes[architecture].append(index)
        keys.setdefault(suite.source.label, []).append(key)
    _remember(suites, keys, session)
    standings = {suite.source.label: _standing(suite) for suite in suites}
    return Indexes([suite.locked for suite in suites], indexes, standings)


def _standing(suite: Found) -> SuitePolicy:
    source, release = suite.source, suite.release
    return SuitePolicy(
        extra=source.extra,
        packages=source.packages,
        priority=source.priority,
        release_priority=compute_release_priority(
            not_automatic=release.not_automatic, automatic_upgrades=release.automatic_upgrades
        ),
    )


def _warn(sources: Sequence[Source], found: Sequence[Found | None], session: Session) -> None:
    for source, suite in zip(sources, found, strict=True):
        if suite is None:
            lost = " and no security updates" if source.suite.endswith(("-security", "/updates")) else ""
            session.progress.warn(
                f"the sources have no {source.suite}, so the image gets nothing from it{lost}"
            )


def _remember(suites: Sequence[Found], keys: dict[str, list[str]], session: Session) -> None:
    """Note which indexes are in use, and let go of those that no longer are."""
    folder = session.home.directory("indexes")
    changed = False
    for suite in suites:
        used = tuple(sorted(set(keys.get(suite.source.label, ()))))
        # Kept as well: what other architectures of the same Release were loaded for.
        listed = tuple(key for key in suite.record.indexes if _is_listed(suite, key))
        wanted = tuple(sorted({*used, *listed}))
        if wanted != suite.record.indexes:
            changed = True
            keeping.keep_release(folder, msgspec.structs.replace(suite.record, indexes=wanted))
    if changed:
        keeping.prune(folder, session.clock.now())


def _is_listed(suite: Found, key: str) -> bool:
    return any(key in text for text in suite.release.lists.values())


def _names(suite: Found, architecture: str) -> list[str]:
    """The paths of a suite's indexes for one architecture, without compression's extension."""
    release, source = suite.release, suite.source
    if source.is_flat:
        if not _offers(suite, "Packages"):
            raise FetchError(f"the Release of {source.label} lists no Packages file")
        return ["Packages"]
    if release.architectures and architecture not in release.architectures and not source.optional:
        raise FetchError(
            f"{source.label} has no packages for {architecture}",
            hint=f"it has {', '.join(release.architectures)}",
        )
    found = []
    for component in source.components:
        names = [f"{component}/binary-{architecture}/Packages"]
        if release.separate_all:
            names.append(f"{component}/binary-all/Packages")
        listed = [name for name in names if _offers(suite, name)]
        if not listed and not source.optional:
            raise FetchError(
                f"{source.label} has no component {component} for {architecture}",
                hint=f"it has {', '.join(release.components)}",
            )
        found += listed
    return found


def _offers(suite: Found, name: str) -> list[tuple[str, FileHash]]:
    """(path, hash) of each form of an index that the Release lists, best first."""
    paths = [name + extension for extension in _EXTENSIONS]
    return [(path, listed) for path in paths if (listed := suite.release.find_file(path)) is not None]


class _Loader:
    """Gets one index of one suite, from what is kept or from a mirror."""

    def __init__(self, suite: Found, session: Session, date: int) -> None:
        self._suite = suite
        self._session = session
        self._label = suite.source.label
        self._folder = session.home.directory("indexes")
        # The mirror whose Release it is goes first; content is checked by digest, so any will do.
        urls = [suite.url, *(url for _, url, _ in releases.places(suite.source, date))]
        self._urls = list(dict.fromkeys(urls))

    def load(self, name: str) -> tuple[str, Index]:
        """Return (key, index) of the index at ``name``."""
        offers = _offers(self._suite, name)
        plain = self._suite.release.find_file(name)
        listed = plain or offers[0][1]
        key = listed.sha256 or listed.sha512
        index = keeping.index(self._folder, key, self._label)
        if index is not None:
            return key, index
        data = self._fetch(offers, plain.size if plain else aptindex.MAX_INDEX)
        if plain is not None and len(data) != plain.size:
            raise TrustError(f"the index {name} has another size than its Release says", where=self._label)
        table = aptindex.scan_index(data)
        keeping.keep_index(self._folder, key, data, table)
        # The kept copy is mapped, not held: fifty megabytes less for as long as it is in use.
        index = keeping.index(self._folder, key, self._label)
        return key, index or aptindex.Index(data, table, self._label)

    def _fetch(self, offers: Sequence[tuple[str, FileHash]], limit: int) -> bytes | bytearray:
        problems: list[PumiceError] = []
        for url in self._urls:
            for path, listed in offers:
                for place in self._places(url, path, listed):
                    try:
                        return _decompressed(self._download(place, listed, path), path, limit)
                    except (FetchError, TrustError, FormatError) as error:
                        problems.append(error)
                    if not isinstance(problems[-1], MissingError):
                        break
        raise releases.together(problems, f"{self._label} ({offers[0][0]})")

    def _places(self, url: str, path: str, listed: FileHash) -> list[str]:
        """Where a file may be: under its digest, where it stays when the suite is updated, and its name."""
        named = f"{self._suite.source.folder(url)}/{path}"
        if not self._suite.release.by_hash:
            return [named]
        folder = f"{named.rpartition('/')[0]}/by-hash"
        algorithm, digits = ("SHA256", listed.sha256) if listed.sha256 else ("SHA512", listed.sha512)
        return [f"{folder}/{algorithm}/{digits}", named]

    def _download(self, url: str, listed: FileHash, path: str) -> bytes:
        body = bytearray()
        label = f"{self._label} {path.rpartition('/')[0].replace('/binary-', ' ')}"
        self._session.download(url, body.extend, size=listed.size, label=label)
        check(body, listed.sha256, listed.sha512, without_login(url))
        return bytes(body)


def check(data: bytes | bytearray, sha256: str, sha512: str, where: str) -> None:
    """Raise TrustError unless ``data`` has the digests given; at least one must be."""
    for expected, algorithm in ((sha256, "sha256"), (sha512, "sha512")):
        if expected and hashlib.new(algorithm, data).hexdigest() != expected:
            raise TrustError(
                f"its {algorithm} is not the one that was signed",
                where=where,
                hint="the mirror is being updated, broken or hostile: try again, or use another one",
            )
    if not (sha256 or sha512):
        raise TrustError("nothing that was signed says what its digest is", where=where)


def _decompressed(data: bytes, path: str, limit: int) -> bytes | bytearray:
    """The content of an index; its compressed form has been verified."""
    if path.endswith(".gz") and len(data) > 18 and int.from_bytes(data[-4:], "little") <= limit:
        import deflate

        try:
            content: bytes | bytearray = deflate.gzip_decompress(data)
        except (deflate.DeflateError, ValueError):
            content = b""
        # Several members: their last length is not that of the whole, and the slow way knows them.
        if len(content) == int.from_bytes(data[-4:], "little"):
            return content
    kind = {"z": "gzip", "xz": "xz"}.get(path.rpartition(".")[2].removeprefix("g"), "plain")
    return DecompressedStream(BytesIO(data), kind, limit=limit).read(limit + 1)
