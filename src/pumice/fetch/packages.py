"""The packages that a lock names: into the store, checked against the lock, from wherever they are.

In this order: the store, a bundle, the archive's mirrors, its snapshot mirrors. What a mirror sends
is streamed into the store and becomes a part of it only if its digest is the lock's.
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
"""Bytes of a ``.deb``: what its ``ar`` headers can say is ten thousand million."""


def fetch(
    package: LockedPackage,
    sources: Sequence[Source],
    session: Session,
    *,
    recipe_dir: Path,
    bundle: Path | None = None,
    date: int = 0,
) -> Digest:
    """Make sure that ``package`` is a blob of the store, and return its digest.

    ``date`` (seconds since the epoch) is that of the locked index, for snapshot mirrors. Safe to
    call from many threads. Raises FetchError if it cannot be had, TrustError if it is not what the
    lock says, LockError for a local file that has changed.
    """
    wanted = _wanted(package)
    if wanted and session.home.blobs.size(wanted) == package.size:
        return wanted
    problems: list[PumiceError] = []
    if bundle is not None:
        found = _attempt(partial(_from_file, bundle / bundle_path(package), package, session), problems)
        if found:
            return found
    if package.role == "local":
        return _local(recipe_dir / package.path, package, session)
    path = quote(check_relative_path(package.path, _name(package)), safe="/+~:")
    for url in _places(package, sources, date or session.clock.now()):
        found = _attempt(partial(_from_mirror, f"{url}/{path}", package, session), problems)
        if found:
            for problem in problems:
                session.progress.note(f"{problem.where}: {problem.message}; taken from another place")
            return found
    raise _failure(package, problems)


def _wanted(package: LockedPackage) -> Digest | None:
    """The digest of the blob, None where the lock has SHA-512 alone; raises TrustError without either."""
    if package.size > MAX_PACKAGE:
        raise FormatError("the package is larger than any real one", where=_name(package))
    if not (package.sha256 or package.sha512):
        raise TrustError("nothing says what its digest is", where=_name(package), hint="run pumice lock")
    return digest.from_hex(package.sha256) if package.sha256 else None


def bundle_path(package: LockedPackage) -> str:
    """Return where ``package`` is in a bundle: a folder per archive, in the shape of a mirror."""
    if package.role == "local":
        return f"local/{package.sha256}/{package.path.rpartition('/')[2]}"
    return f"{package.archive}/{check_relative_path(package.path, _name(package))}"


def keep(package: LockedPackage, session: Session, bundle: Path) -> None:
    """Copy ``package``, which is in the store, into the folder ``bundle``; raises StoreError, TrustError."""
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
                    "the store's copy is damaged", where=_name(package), hint="run pumice store verify"
                )
            scratch.replace(target)
        finally:
            scratch.unlink(missing_ok=True)


def _places(package: LockedPackage, sources: Sequence[Source], date: int) -> list[str]:
    """The URLs of all mirrors of a package's archive: first those of its suite, then of its siblings.

    A pool is shared by the suites of an archive. A snapshot taken at the very time of an index may be
    from before that was published, so the next day's is asked as well. Raises LockError, FetchError.
    """
    siblings = [source for source in sources if source.archive == package.archive]
    siblings.sort(key=lambda source: source.suite != package.suite)
    if not siblings:
        raise LockError(
            f"the lock takes {package.name} from the archive {package.archive}, unknown to the recipe",
            hint="run pumice lock",
        )
    mirrors = [mirror.url for source in siblings for mirror in source.mirrors]
    snapshots = [
        url
        for moment in (date, date + 86_400)
        for source in siblings
        for _, url, past in releases.places(source, moment)
        if past
    ]
    if not (mirrors or snapshots):
        raise missing_mirror_error(siblings[0])
    return list(dict.fromkeys([*mirrors, *snapshots]))


def _attempt(get: Callable[[], Digest], problems: list[PumiceError]) -> Digest | None:
    try:
        return get()
    except (FetchError, TrustError, FormatError) as error:
        problems.append(error)
        return None


def _from_mirror(url: str, package: LockedPackage, session: Session) -> Digest:
    pieces, found = _download(url, package, session)
    if found is None and pieces > 1:  # the file may have changed between one piece and the next
        _, found = _download(url, package, session)
    if found is None:
        raise _other(package, without_login(url))
    return found


def _download(url: str, package: LockedPackage, session: Session) -> tuple[int, Digest | None]:
    """(in how many pieces it came, its digest if it is the locked package)."""
    with session.home.blobs.writer() as writer:
        hasher = hashlib.sha512() if package.sha512 else None

        def take(data: bytes) -> None:
            writer.write(data)
            if hasher is not None:
                hasher.update(data)

        answer = session.download(url, take, size=package.size, label=f"{package.name} {package.version}")
        return answer.pieces, _commit(writer.commit, package, hasher.hexdigest() if hasher else "")


def _from_file(path: Path, package: LockedPackage, session: Session) -> Digest:
    """Take a file into the store if it is the package; raises MissingError, FetchError, TrustError."""
    try:
        file = files.open_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        raise MissingError("there is no such file", where=str(path)) from None
    except OSError as error:
        raise FetchError(f"the file cannot be read: {error.strerror}", where=str(path)) from error
    with file, session.home.blobs.writer() as writer:
        hasher = hashlib.sha512()
        count = 0
        try:
            while data := file.read(CHUNK):
                count += len(data)
                if count > package.size:
                    break
                hasher.update(data)
                writer.write(data)
        except OSError as error:
            raise FetchError(f"the file cannot be read: {error.strerror}", where=str(path)) from error
        if count != package.size:
            raise TrustError(
                f"the file is not {package.name} as locked: its size is another", where=str(path)
            )
        found = _commit(writer.commit, package, hasher.hexdigest())
    if found is None:
        raise _other(package, str(path))
    return found


def _commit(commit: Callable[[Digest | None], Digest], package: LockedPackage, sha512: str) -> Digest | None:
    """Let a blob into the store only if it is the locked package; None if it is not."""
    if package.sha512 != sha512 and package.sha512:
        return None
    try:
        return commit(_wanted(package))
    except TrustError:
        return None


def _other(package: LockedPackage, where: str) -> TrustError:
    return TrustError(
        f"the file is not {package.name} {package.version} as locked: its digest is another",
        where=where,
        hint="it was damaged or exchanged on its way or where it is kept: try another mirror",
    )


def _local(path: Path, package: LockedPackage, session: Session) -> Digest:
    try:
        return _from_file(path, package, session)
    except MissingError:
        raise FetchError(
            "the local package is gone", where=str(path), hint="see the recipe's packages"
        ) from None
    except TrustError:
        raise LockError(
            "the local package is not the one that the lock names",
            where=str(path),
            hint=f"run pumice lock --upgrade {package.name} if the change is meant",
        ) from None


def _failure(package: LockedPackage, problems: list[PumiceError]) -> PumiceError:
    """What to say when no place had the package."""
    if any(isinstance(problem, OfflineError) for problem in problems) and all(
        isinstance(problem, MissingError | OfflineError) for problem in problems
    ):
        return FetchError(
            f"{_name(package)} is not in the store, and --offline forbids to fetch it",
            hint="run it once without --offline, or use a bundle (--bundle DIR)",
        )
    if all(isinstance(problem, MissingError) for problem in problems):
        return FetchError(
            f"the mirrors no longer have {_name(package)}",
            where=problems[0].where,
            hint=f"take a newer one with pumice lock --upgrade {package.name},"
            " or name a snapshot mirror or a bundle (--bundle DIR)",
        )
    telling = [item for item in problems if not isinstance(item, MissingError | OfflineError)]
    return releases.together(telling or problems, _name(package))


def _name(package: LockedPackage) -> str:
    return f"{package.name} {package.version} ({package.architecture})"
