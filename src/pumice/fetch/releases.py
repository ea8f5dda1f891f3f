"""Downloads the signed Release of a suite from one of its mirrors, and verifies it.

apt-secure(8); Debian repository format. Checked in this order: the signature, the identity in the signed
text (origin, codename), its dates, and that it is not older than the one accepted before.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

import msgspec

from pumice import digest
from pumice.distro.debian.sources import missing_mirror_error
from pumice.errors import FetchError, FormatError, PumiceError, TrustError
from pumice.fetch import index_cache
from pumice.fetch.index_cache import CachedRelease
from pumice.fetch.network_rules import parse_url, without_login
from pumice.fetch.transfer import MissingError
from pumice.formats import aptrelease, openpgp
from pumice.formats.aptrelease import MAX_RELEASE, Release
from pumice.recipe.lock import LockedIndex

if TYPE_CHECKING:
    from pathlib import Path

    from pumice.distro.debian.sources import KeyringFile, Mirror, Source
    from pumice.fetch.session import Session

_MAX_FLAT_INDEX = 64 << 20
"""Bytes of an index without a Release that lists its size; flat archives are small."""
_DAY = 86_400
"""Seconds that a mirror's clock may be ahead of this machine."""


class VerifiedRelease(msgspec.Struct, frozen=True):
    """A verified Release, and the mirror that it came from."""

    source: Source
    url: str
    release: Release
    record: CachedRelease
    locked: LockedIndex


def find_release(source: Source, session: Session, date: int) -> VerifiedRelease | None:
    """Return the Release of ``source`` from the first mirror with a valid one.

    ``date`` (seconds since the epoch) replaces ``{date}`` in the URLs of snapshot mirrors, which are tried
    last. Returns None if the source is optional and no mirror has it. Raises FetchError or TrustError.
    """
    problems: list[PumiceError] = []
    for mirror, url, is_snapshot in mirror_locations(source, date):
        try:
            verified = _MirrorAttempt(source, mirror, url, is_snapshot, session).run()
        except (FetchError, TrustError, FormatError) as error:
            problems.append(error)
        else:
            for problem in problems:
                session.progress.note(f"{problem.where}: {problem.message}; using another mirror")
            return verified
    if source.optional and all(isinstance(problem, MissingError) for problem in problems):
        return None
    raise combine_problems(problems, source.label) if problems else missing_mirror_error(source)


def mirror_locations(source: Source, date: int) -> list[tuple[Mirror, str, bool]]:
    """Return (mirror, URL, whether it is a snapshot) for each mirror of ``source``, in order."""
    locations = [(mirror, mirror.url, False) for mirror in source.mirrors]
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(date))
    for mirror in source.snapshots:
        url = mirror.url.replace("{date}", stamp).replace("{archive}", source.archive)
        locations.append((mirror, url, True))
    return locations


def combine_problems(problems: list[PumiceError], subject: str) -> PumiceError:
    """Return one error for the problems of all mirrors of ``subject``: a TrustError if any of them is."""
    if len(problems) == 1:
        return problems[0]
    representative = next((problem for problem in problems if isinstance(problem, TrustError)), problems[0])
    reasons = "; ".join(f"{problem.where}: {problem.message}" for problem in problems)
    return type(representative)(
        f"cannot use any of the {len(problems)} mirrors of {subject}", where=subject, hint=reasons
    )


class _MirrorAttempt:
    """One attempt to get the Release of a suite from one mirror."""

    def __init__(self, source: Source, mirror: Mirror, url: str, is_snapshot: bool, session: Session) -> None:
        self._source = source
        self._mirror = mirror
        self._url = url
        self._is_snapshot = is_snapshot
        self._session = session
        self._where = source.folder(without_login(url))
        self._now = session.clock.now()
        self._folder: Path = session.home.directory("indexes")
        self._cached = index_cache.get_release(self._folder, without_login(url), source.suite)

    def run(self) -> VerifiedRelease:
        """Return the mirror's Release, or the cached one if that is newer; raises FetchError, TrustError."""
        cached = self._cached
        if self._session.offline and parse_url(self._url).scheme in {"http", "https"}:
            if cached is None:
                raise FetchError(
                    "the index is not cached, and --offline does not allow downloading it",
                    where=self._where,
                    hint="run the command once without --offline",
                )
            return self._accept(cached)
        record = self._fetch_release()
        if record is cached:
            return self._accept(record)
        verified = self._verify(record)
        if cached is not None and verified.release.date < cached.date:
            return self._use_newer_cached(cached, verified)
        verified = self._check_dates(verified)
        record = msgspec.structs.replace(verified.record, indexes=cached.indexes if cached else ())
        index_cache.put_release(self._folder, record)
        return msgspec.structs.replace(verified, record=record)

    def _accept(self, record: CachedRelease) -> VerifiedRelease:
        return self._check_dates(self._verify(record))

    def _use_newer_cached(self, cached: CachedRelease, offered_release: VerifiedRelease) -> VerifiedRelease:
        """Return the cached Release, because the mirror offers an older one."""
        offered_date, cached_date = _format_time(offered_release.release.date), _format_time(cached.date)
        summary = f"the mirror offers an index of {offered_date}, older than the cached one of {cached_date}"
        try:
            verified = self._accept(cached)
        except (TrustError, FormatError) as error:
            raise TrustError(
                f"{summary}, which is no longer valid: {error.message}",
                where=self._where,
                hint="use another mirror",
            ) from error
        self._session.progress.note(f"{self._where}: {summary}; using the cached one")
        return verified

    def _fetch_release(self) -> CachedRelease:
        """Return the mirror's current Release; the cached record itself if it has not changed."""
        cached = self._cached
        etag, modified = (cached.etag, cached.modified) if cached and not cached.signature else ("", "")
        try:
            response = self._session.get(
                f"{self._make_suite_url()}/InRelease", limit=MAX_RELEASE, etag=etag, modified=modified
            )
        except MissingError:
            return self._fetch_detached()
        if response.is_unchanged and cached is not None:
            return cached
        if cached is not None and response.body == cached.content:
            return cached
        return self._make_record(response.body, b"", response.etag, response.modified)

    def _fetch_detached(self) -> CachedRelease:
        try:
            content = self._session.get(f"{self._make_suite_url()}/Release", limit=MAX_RELEASE).body
        except MissingError:
            if self._source.is_flat and self._source.trusted:
                return self._make_record(self._describe_flat_archive(), b"", "", "")
            if self._cached is not None:
                raise FetchError("the mirror no longer has this suite", where=self._where) from None
            raise MissingError(
                "the mirror does not have this suite",
                where=self._where,
                hint="check the name of the suite and the URL of the mirror",
            ) from None
        try:
            signature = self._session.get(f"{self._make_suite_url()}/Release.gpg", limit=MAX_RELEASE).body
        except MissingError:
            if not self._source.trusted:
                raise self._make_unsigned_error() from None
            signature = b""
        return self._make_record(content, signature, "", "")

    def _describe_flat_archive(self) -> bytes:
        """Return a Release for a flat archive without one, generated from its current index."""
        for name in ("Packages.gz", "Packages.xz", "Packages"):
            try:
                data = self._session.get(f"{self._make_suite_url()}/{name}", limit=_MAX_FLAT_INDEX).body
            except MissingError:
                continue
            return f"SHA256:\n {hashlib.sha256(data).hexdigest()} {len(data)} {name}\n".encode()
        raise MissingError(
            "the archive has neither a Release nor a Packages file",
            where=self._where,
            hint="check the URL and the suite",
        )

    def _make_suite_url(self) -> str:
        return self._source.folder(self._url)

    def _make_record(self, content: bytes, signature: bytes, etag: str, modified: str) -> CachedRelease:
        url, suite = without_login(self._url), self._source.suite
        return CachedRelease(url, suite, 0, content, signature, etag, modified)

    def _verify(self, record: CachedRelease) -> VerifiedRelease:
        """Return the Release of ``record`` after every check but that of its dates."""
        content, signers, keyring = self._verify_signature(record)
        release = aptrelease.read_release(content, where=self._where)
        self._check_identity(release)
        locked = LockedIndex(
            archive=self._source.archive,
            suite=self._source.suite,
            codename=release.codename,
            origin=release.origin,
            date=release.date,
            valid_until=release.valid_until,
            digest=digest.of(record.content),
            signers=signers,
            keyring=keyring,
        )
        dated_record = msgspec.structs.replace(record, date=release.date)
        return VerifiedRelease(self._source, self._url, release, dated_record, locked)

    def _verify_signature(self, record: CachedRelease) -> tuple[bytes, tuple[str, ...], str]:
        """Return (signed content, signers, digest of the keyring)."""
        failures: dict[str, PumiceError] = {}
        for keys in self._mirror.keys:
            try:
                verified, keyring = self._verify_with_keys(record, keys)
            except (TrustError, FormatError) as error:
                failures.setdefault(error.message, error)
            else:
                return verified.content, verified.signers, keyring.digest
        if self._source.trusted and not self._mirror.keys:
            return openpgp.strip_clearsign_armor(record.content), (), ""
        raise self._make_signature_error(list(failures.values()))

    def _make_signature_error(self, errors: list[PumiceError]) -> PumiceError:
        """Return one error for the failures with every keyring, with a hint for unreadable ones."""
        if not errors:
            return self._make_unsigned_error()
        first_error = errors[0]
        hint = "; ".join((*self._mirror.unreadable_keyrings, first_error.hint or "")).removesuffix("; ")
        # A failure with the right key says more than that a keyring does not have the key.
        relevant_errors = [error for error in errors if "not in the keyring" not in error.message] or errors
        message = "; ".join(error.message for error in relevant_errors)
        return type(relevant_errors[0])(message, where=relevant_errors[0].where, hint=hint or None)

    def _verify_with_keys(
        self, record: CachedRelease, keys: KeyringFile
    ) -> tuple[openpgp.VerifiedContent, openpgp.Keyring]:
        keyring = openpgp.read_keyring(keys.data, fingerprints=keys.fingerprints, where=keys.name)
        if record.signature:
            verified = openpgp.verify_detached(
                record.content, record.signature, keyring, now=self._now, where=self._where
            )
        else:
            verified = openpgp.verify_clearsigned(record.content, keyring, now=self._now, where=self._where)
        return verified, keyring

    def _make_unsigned_error(self) -> TrustError:
        hint = "use another mirror"
        if self._mirror.is_trusted_by_apt:
            hint = "apt's [trusted=yes] is not honored: add the archive to the recipe with trusted: true"
        return TrustError("the suite is not signed", where=self._where, hint=hint)

    def _check_identity(self, release: Release) -> None:
        """Raise TrustError for a correctly signed Release of another archive or suite."""
        source = self._source
        hint = "check that the URL of the mirror is that of the archive"
        if source.origin and release.origin != source.origin:
            signed_name = repr(release.origin[:100])
            raise TrustError(
                f"its signed Release says Origin {signed_name} and not {source.origin}",
                where=self._where,
                hint=hint,
            )
        names = {name.removesuffix("/updates") for name in (release.codename, release.suite)}
        if source.release_names and not names.intersection(
            name.removesuffix("/updates") for name in source.release_names
        ):
            signed_name = repr((release.codename or release.suite)[:100])
            raise TrustError(
                f"its signed Release is of {signed_name} and not of {source.suite}",
                where=self._where,
                hint=hint,
            )

    def _check_dates(self, verified: VerifiedRelease) -> VerifiedRelease:
        """Return ``verified`` if it is valid at the current time; raises TrustError otherwise."""
        release = verified.release
        if self._mirror.check_date and not self._is_snapshot and release.date > self._now + _DAY:
            raise TrustError(
                f"the index is of {_format_time(release.date)}, which is in the future",
                where=self._where,
                hint="check this machine's clock",
            )
        if not self._is_snapshot and self._mirror.check_valid_until and 0 < release.valid_until < self._now:
            raise TrustError(
                f"the index expired on {_format_time(release.valid_until)}",
                where=self._where,
                hint="use a mirror that is up to date, or a snapshot mirror; apt's"
                ' Acquire::Check-Valid-Until "false" is honored',
            )
        return verified


def _format_time(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
