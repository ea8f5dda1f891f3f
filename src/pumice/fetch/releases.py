"""The signed Release of a suite: found on one of its mirrors, verified, and never older than before.

apt-secure(8); Debian repository format. Order of trust: signature, then what the signed text says
of itself (origin, codename), then its dates, then that it is no older than one seen already.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

import msgspec

from pumice import digest
from pumice.distro.debian.sources import missing_mirror_error
from pumice.errors import FetchError, FormatError, PumiceError, TrustError
from pumice.fetch import index_cache as keeping
from pumice.fetch.index_cache import KeptRelease
from pumice.fetch.network_rules import split, without_login
from pumice.fetch.transfer import MissingError
from pumice.formats import aptrelease, openpgp
from pumice.formats.aptrelease import MAX_RELEASE, Release
from pumice.recipe.lock import LockedIndex

if TYPE_CHECKING:
    from pathlib import Path

    from pumice.distro.debian.sources import KeyringFile, Mirror, Source
    from pumice.fetch.session import Session

_MAX_FLAT_INDEX = 64 << 20
"""Bytes of an index that nothing describes; flat archives are small."""
_DAY = 86_400
"""Seconds that a mirror's clock may be ahead of this machine's."""


class Found(msgspec.Struct, frozen=True):
    """A Release that can be trusted, and the mirror it came from."""

    source: Source
    url: str
    release: Release
    record: KeptRelease
    locked: LockedIndex


def find(source: Source, session: Session, date: int) -> Found | None:
    """Return the Release of ``source`` from the first of its mirrors that has a good one.

    ``date`` (seconds since the epoch) is what ``{date}`` stands for in snapshot mirrors, which are
    tried after the ordinary ones. None if the source is optional and no mirror has it. Raises
    FetchError or TrustError.
    """
    problems: list[PumiceError] = []
    for mirror, url, past in places(source, date):
        try:
            found = _Attempt(source, mirror, url, past, session).run()
        except (FetchError, TrustError, FormatError) as error:
            problems.append(error)
        else:
            for problem in problems:
                session.progress.note(f"{problem.where}: {problem.message}; another mirror is used")
            return found
    if source.optional and all(isinstance(problem, MissingError) for problem in problems):
        return None
    raise together(problems, source.label) if problems else missing_mirror_error(source)


def places(source: Source, date: int) -> list[tuple[Mirror, str, bool]]:
    """(mirror, URL, whether it is a snapshot) of each place where ``source`` may be found, in order."""
    found = [(mirror, mirror.url, False) for mirror in source.mirrors]
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(date))
    for mirror in source.snapshots:
        url = mirror.url.replace("{date}", stamp).replace("{archive}", source.archive)
        found.append((mirror, url, True))
    return found


def together(problems: list[PumiceError], what: str) -> PumiceError:
    """Return one error for all that is wrong with mirrors of ``what``: it is about trust if any is."""
    if len(problems) == 1:
        return problems[0]
    worst = next((problem for problem in problems if isinstance(problem, TrustError)), problems[0])
    reasons = "; ".join(f"{problem.where}: {problem.message}" for problem in problems)
    return type(worst)(f"none of the {len(problems)} mirrors of {what} can be used", where=what, hint=reasons)


class _Attempt:
    """One suite on one mirror."""

    def __init__(self, source: Source, mirror: Mirror, url: str, past: bool, session: Session) -> None:
        self._source = source
        self._mirror = mirror
        self._url = url
        self._past = past
        self._session = session
        self._where = source.folder(without_login(url))
        self._now = session.clock.now()
        self._folder: Path = session.home.directory("indexes")
        self._seen = keeping.release(self._folder, without_login(url), source.suite)

    def run(self) -> Found:
        """Return the mirror's Release, or the newer one seen before; raises what is wrong with it."""
        seen = self._seen
        if self._session.offline and split(self._url).scheme in {"http", "https"}:
            if seen is None:
                raise FetchError(
                    "no index is kept, and --offline forbids to fetch one",
                    where=self._where,
                    hint="run it once without --offline",
                )
            return self._accept(seen)
        record = self._fetch()
        if record is seen:
            return self._accept(record)
        found = self._verified(record)
        if seen is not None and found.release.date < seen.date:
            return self._newer(seen, found)
        found = self._in_time(found)
        record = msgspec.structs.replace(found.record, indexes=seen.indexes if seen else ())
        keeping.keep_release(self._folder, record)
        return msgspec.structs.replace(found, record=record)

    def _accept(self, record: KeptRelease) -> Found:
        return self._in_time(self._verified(record))

    def _newer(self, seen: KeptRelease, offered: Found) -> Found:
        """The Release seen before, because the mirror has gone back in time."""
        story = f"an index of {_day(offered.release.date)} is offered after one of {_day(seen.date)} was seen"
        try:
            found = self._accept(seen)
        except (TrustError, FormatError) as error:
            raise TrustError(
                f"{story}, which is no longer good ({error.message})",
                where=self._where,
                hint="the mirror goes back in time: use another one",
            ) from error
        self._session.progress.note(f"{self._where}: {story}; the newer is used")
        return found

    def _fetch(self) -> KeptRelease:
        """What the mirror offers now; the record seen before if that has not changed."""
        seen = self._seen
        etag, modified = (seen.etag, seen.modified) if seen and not seen.signature else ("", "")
        try:
            answer = self._session.get(
                f"{self._where_to_fetch()}/InRelease", limit=MAX_RELEASE, etag=etag, modified=modified
            )
        except MissingError:
            return self._fetch_detached()
        if answer.unchanged and seen is not None:
            return seen
        if seen is not None and answer.body == seen.content:
            return seen
        return self._record(answer.body, b"", answer.etag, answer.modified)

    def _fetch_detached(self) -> KeptRelease:
        try:
            content = self._session.get(f"{self._where_to_fetch()}/Release", limit=MAX_RELEASE).body
        except MissingError:
            if self._source.is_flat and self._source.trusted:
                return self._record(self._described(), b"", "", "")
            if self._seen is not None:
                raise FetchError("the mirror no longer has this suite", where=self._where) from None
            raise MissingError(
                "the mirror does not have this suite",
                where=self._where,
                hint="check the name of the suite and the URL of the mirror",
            ) from None
        try:
            signature = self._session.get(f"{self._where_to_fetch()}/Release.gpg", limit=MAX_RELEASE).body
        except MissingError:
            if not self._source.trusted:
                raise self._unsigned() from None
            signature = b""
        return self._record(content, signature, "", "")

    def _described(self) -> bytes:
        """Return a Release for a flat archive that has none: it says what the index is just now."""
        for name in ("Packages.gz", "Packages.xz", "Packages"):
            try:
                data = self._session.get(f"{self._where_to_fetch()}/{name}", limit=_MAX_FLAT_INDEX).body
            except MissingError:
                continue
            return f"SHA256:\n {hashlib.sha256(data).hexdigest()} {len(data)} {name}\n".encode()
        raise MissingError(
            "the archive has neither a Release nor a Packages file",
            where=self._where,
            hint="check its url and suite",
        )

    def _where_to_fetch(self) -> str:
        return self._source.folder(self._url)

    def _record(self, content: bytes, signature: bytes, etag: str, modified: str) -> KeptRelease:
        url, suite = without_login(self._url), self._source.suite
        return KeptRelease(url, suite, 0, content, signature, etag, modified)

    def _verified(self, record: KeptRelease) -> Found:
        """``record`` with everything checked but its dates."""
        content, signers, keyring = self._signed(record)
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
        dated = msgspec.structs.replace(record, date=release.date)
        return Found(self._source, self._url, release, dated, locked)

    def _signed(self, record: KeptRelease) -> tuple[bytes, tuple[str, ...], str]:
        """(what is signed, signers, digest of the keyring)."""
        failures: dict[str, PumiceError] = {}
        for keys in self._mirror.keys:
            try:
                verified, keyring = self._check(record, keys)
            except (TrustError, FormatError) as error:
                failures.setdefault(error.message, error)
            else:
                return verified.content, verified.signers, keyring.digest
        if self._source.trusted and not self._mirror.keys:
            return openpgp.strip_clearsign_armor(record.content), (), ""
        raise self._refusal(list(failures.values()))

    def _refusal(self, failures: list[PumiceError]) -> PumiceError:
        """Return one error for what every keyring has against a Release, and for those not looked at."""
        if not failures:
            return self._unsigned()
        first = failures[0]
        hint = "; ".join((*self._mirror.unreadable_keyrings, first.hint or "")).removesuffix("; ")
        # A keyring that does not know the key says less than one that does and refuses it.
        telling = [error for error in failures if "not in the keyring" not in error.message] or failures
        message = "; ".join(error.message for error in telling)
        return type(telling[0])(message, where=telling[0].where, hint=hint or None)

    def _check(
        self, record: KeptRelease, keys: KeyringFile
    ) -> tuple[openpgp.VerifiedContent, openpgp.Keyring]:
        keyring = openpgp.read_keyring(keys.data, only=keys.fingerprints, where=keys.name)
        if record.signature:
            verified = openpgp.verify_detached(
                record.content, record.signature, keyring, now=self._now, where=self._where
            )
        else:
            verified = openpgp.verify_clearsigned(record.content, keyring, now=self._now, where=self._where)
        return verified, keyring

    def _unsigned(self) -> TrustError:
        hint = "use another mirror"
        if self._mirror.is_trusted_by_apt:
            hint = "apt's [trusted=yes] does not count here: name it as an archive with trusted: true"
        return TrustError("the suite is not signed", where=self._where, hint=hint)

    def _check_identity(self, release: Release) -> None:
        """Refuse a Release that is genuine but of something else."""
        source = self._source
        hint = "check which archive the mirror's URL leads to"
        if source.origin and release.origin != source.origin:
            said = repr(release.origin[:100])
            raise TrustError(
                f"its signed Release says Origin {said} and not {source.origin}", where=self._where, hint=hint
            )
        names = {name.removesuffix("/updates") for name in (release.codename, release.suite)}
        if source.release_names and not names.intersection(
            name.removesuffix("/updates") for name in source.release_names
        ):
            said = repr((release.codename or release.suite)[:100])
            raise TrustError(
                f"its signed Release is of {said} and not of {source.suite}", where=self._where, hint=hint
            )

    def _in_time(self, found: Found) -> Found:
        """``found`` if its dates allow to use it now."""
        release = found.release
        if self._mirror.check_date and not self._past and release.date > self._now + _DAY:
            raise TrustError(
                f"the index is of {_day(release.date)}, which is still to come",
                where=self._where,
                hint="check this machine's clock",
            )
        if not self._past and self._mirror.check_valid_until and 0 < release.valid_until < self._now:
            raise TrustError(
                f"the index has expired on {_day(release.valid_until)}",
                where=self._where,
                hint="use a mirror that is up to date, or a snapshot mirror; apt's"
                ' Acquire::Check-Valid-Until "false" counts here too',
            )
        return found


def _day(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
