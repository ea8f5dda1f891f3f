"""Fetches the locked packages into the store and verifies them against the lock.

They are looked for in the store, a bundle, the archive's mirrors and its snapshot mirrors, in this order.
A download is streamed into the store and committed only if it has the digest in the lock.
"""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from pumice import digest, files, ownership
from pumice.distro.debian.sources import missing_mirror_error
from pumice.errors import FetchError, FormatError, LockError, PumiceError, TrustError
from pumice.fetch import releases
from pumice.fetch.network_rules import without_login
from pumice.fetch.transfer import CHUNK, MissingError, OfflineError
from pumice.formats.aptindex import check_relative_path
from pumice.os_errors import translate_os_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.digest import Digest
    from pumice.distro.debian.sources import Source
    from pumice.fetch.session import Session
    from pumice.recipe.lock import LockedPackage

MAX_PACKAGE = 4 << 30
"""Bytes of the largest ``.deb`` that is accepted; an ``ar`` header could announce ten billion."""


def fetch_package(
    package: LockedPackage,
    sources: Sequence[Source],
    session: Session,
    *,
    recipe_dir: Path,
    bundle: Path | None = None,
    date: int = 0,
) -> Digest:
    """Fetch ``package`` into the store unless it is there, and return the digest of its blob.

    ``date`` (seconds since the epoch) is that of the locked index, for snapshot mirrors. Thread-safe.
    Raises FetchError if no source has it, TrustError if it does not match the lock, and LockError for a
    local file that has changed.
    """
    blob_digest = _find_blob_digest(package)
    if blob_digest and session.home.blobs.size(blob_digest) == package.size:
        return blob_digest
    problems: list[PumiceError] = []
    if bundle is not None:
        fetched_digest = _attempt(
            partial(_import_file, bundle / bundle_path(package), package, session), problems
        )
        if fetched_digest:
            return fetched_digest
    if package.role == "local":
        return _import_local(recipe_dir / package.path, package, session)
    path = quote(check_relative_path(package.path, _format_package(package)), safe="/+~:")
    for url in _list_mirror_urls(package, sources, date or session.clock.now()):
        fetched_digest = _attempt(partial(_fetch_from_mirror, f"{url}/{path}", package, session), problems)
        if fetched_digest:
            for problem in problems:
                session.progress.note(f"{problem.where}: {problem.message}; using another mirror")
            return fetched_digest
    raise _make_fetch_error(package, problems)


def _find_blob_digest(package: LockedPackage) -> Digest | None:
    """Return the digest of the blob, None if the lock only has SHA-512; raises TrustError without either."""
    if package.size > MAX_PACKAGE:
        raise FormatError("the package is larger than 4 GiB", where=_format_package(package))
    if not (package.sha256 or package.sha512):
        raise TrustError(
            "the lock has no digest of the package", where=_format_package(package), hint="run pumice lock"
        )
    return digest.from_hex(package.sha256) if package.sha256 else None


def bundle_path(package: LockedPackage) -> str:
    """Return the path of ``package`` in a bundle, which has a directory per archive, laid out as a mirror."""
    if package.role == "local":
        return f"local/{package.sha256}/{package.path.rpartition('/')[2]}"
    return f"{package.archive}/{check_relative_path(package.path, _format_package(package))}"


def copy_to_bundle(package: LockedPackage, session: Session, bundle: Path) -> None:
    """Copy ``package`` from the store into the directory ``bundle``; raises StoreError, TrustError."""
    target = bundle / bundle_path(package)
    hasher = hashlib.sha256()
    with translate_os_errors(target):
        if target.is_file() and target.stat().st_size == package.size:
            with target.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == package.sha256:
                    return
        ownership.make_directories(target.parent)
        scratch = target.with_name(f".{files.scratch_name()}")
        try:
            with (
                session.home.blobs.open(digest.from_hex(package.sha256)) as source,
                scratch.open("xb") as copy,
            ):
                while data := source.read(CHUNK):
                    hasher.update(data)
                    copy.write(data)
            if hasher.hexdigest() != package.sha256:
                raise TrustError(
                    "the store's copy is damaged",
                    where=_format_package(package),
                    hint="run pumice store verify",
                )
            scratch.replace(target)
        finally:
            scratch.unlink(missing_ok=True)


def _list_mirror_urls(package: LockedPackage, sources: Sequence[Source], date: int) -> list[str]:
    """Return the URLs of all mirrors of a package's archive, those of its own suite first.

    All suites of an archive share a pool. A snapshot with the time of an index may predate its
    publication, so the snapshot of the next day follows. Raises LockError, FetchError.
    """
    archive_sources = [source for source in sources if source.archive == package.archive]
    archive_sources.sort(key=lambda source: source.suite != package.suite)
    if not archive_sources:
        raise LockError(
            f"the lock takes {package.name} from {package.archive}, an archive that is not in the recipe",
            hint="run pumice lock",
        )
    mirrors = [mirror.url for source in archive_sources for mirror in source.mirrors]
    snapshots = [
        url
        for timestamp in (date, date + 86_400)
        for source in archive_sources
        for _, url, is_snapshot in releases.mirror_locations(source, timestamp)
        if is_snapshot
    ]
    if not (mirrors or snapshots):
        raise missing_mirror_error(archive_sources[0])
    return list(dict.fromkeys([*mirrors, *snapshots]))


def _attempt(get_package: Callable[[], Digest], problems: list[PumiceError]) -> Digest | None:
    try:
        return get_package()
    except (FetchError, TrustError, FormatError) as error:
        problems.append(error)
        return None


def _fetch_from_mirror(url: str, package: LockedPackage, session: Session) -> Digest:
    responses, blob_digest = _download(url, package, session)
    if blob_digest is None and responses > 1:  # the mirror may have replaced the file between two responses
        _, blob_digest = _download(url, package, session)
    if blob_digest is None:
        raise _make_digest_error(package, without_login(url))
    return blob_digest


def _download(url: str, package: LockedPackage, session: Session) -> tuple[int, Digest | None]:
    """Return (number of responses, digest if the content is the locked package)."""
    with session.home.blobs.writer() as writer:
        hasher = hashlib.sha512() if package.sha512 else None

        def write(data: bytes) -> None:
            writer.write(data)
            if hasher is not None:
                hasher.update(data)

        download = session.download(url, write, size=package.size, label=f"{package.name} {package.version}")
        return download.response_count, _commit_if_locked(
            writer.commit, package, hasher.hexdigest() if hasher else ""
        )


def _import_file(path: Path, package: LockedPackage, session: Session) -> Digest:
    """Import a file into the store if it is the package; raises MissingError, FetchError, TrustError."""
    try:
        file = files.open_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        raise MissingError("the file does not exist", where=str(path)) from None
    except OSError as error:
        raise FetchError(f"cannot read the file: {error.strerror}", where=str(path)) from error
    with file, session.home.blobs.writer() as writer:
        hasher = hashlib.sha512()
        read_size = 0
        try:
            while data := file.read(CHUNK):
                read_size += len(data)
                if read_size > package.size:
                    break
                hasher.update(data)
                writer.write(data)
        except OSError as error:
            raise FetchError(f"cannot read the file: {error.strerror}", where=str(path)) from error
        if read_size != package.size:
            raise TrustError(f"the file is not the locked {package.name}: the size differs", where=str(path))
        blob_digest = _commit_if_locked(writer.commit, package, hasher.hexdigest())
    if blob_digest is None:
        raise _make_digest_error(package, str(path))
    return blob_digest


def _commit_if_locked(
    commit: Callable[[Digest | None], Digest], package: LockedPackage, sha512: str
) -> Digest | None:
    """Commit a blob to the store only if it is the locked package; return None if it is not."""
    if package.sha512 != sha512 and package.sha512:
        return None
    try:
        return commit(_find_blob_digest(package))
    except TrustError:
        return None


def _make_digest_error(package: LockedPackage, where: str) -> TrustError:
    return TrustError(
        f"the file is not the locked {package.name} {package.version}: the digest differs",
        where=where,
        hint="it is damaged or was replaced: try another mirror",
    )


def _import_local(path: Path, package: LockedPackage, session: Session) -> Digest:
    try:
        return _import_file(path, package, session)
    except MissingError:
        raise FetchError(
            "the local package does not exist", where=str(path), hint="check the packages of the recipe"
        ) from None
    except TrustError:
        raise LockError(
            "the local package is not the locked one",
            where=str(path),
            hint=f"if the change is intended, run pumice lock --upgrade {package.name}",
        ) from None


def _make_fetch_error(package: LockedPackage, problems: list[PumiceError]) -> PumiceError:
    """Return the error for a package that no source has."""
    if any(isinstance(problem, OfflineError) for problem in problems) and all(
        isinstance(problem, MissingError | OfflineError) for problem in problems
    ):
        return FetchError(
            f"{_format_package(package)} is not in the store, and --offline does not allow downloading it",
            hint="run the command once without --offline, or use a bundle (--bundle DIR)",
        )
    if all(isinstance(problem, MissingError) for problem in problems):
        return FetchError(
            f"the mirrors no longer have {_format_package(package)}",
            where=problems[0].where,
            hint=f"lock a newer version with pumice lock --upgrade {package.name},"
            " or use a snapshot mirror or a bundle (--bundle DIR)",
        )
    failures = [problem for problem in problems if not isinstance(problem, MissingError | OfflineError)]
    return releases.combine_problems(failures or problems, _format_package(package))


def _format_package(package: LockedPackage) -> str:
    return f"{package.name} {package.version} ({package.architecture})"
