"""The prepared tree of an image: unpacked once, kept in the store, never written to.

``trees/<hex digits of the manifest's digest>/`` holds ``root``, the tree; ``owners``, the owners that
could not be set because Pumice did not run as root; and ``boot``, because a tree is not synced to
the disk (that would cost more than unpacking): one from before the machine's last start is made anew.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice import digest, files
from pumice.os_errors import translate_os_errors
from pumice.ownership import make_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pumice.digest import Digest
    from pumice.image.flatten import VisibleEntry
    from pumice.image.model import Image
    from pumice.progress import Progress, Task
    from pumice.store.home import Home

_NAME = frozenset("0123456789abcdef")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Prepared(msgspec.Struct, frozen=True):
    """A tree that is ready: its root, and the file with the owners it lacks (None if it has them all)."""

    root: Path
    owners: Path | None = None


def prepare(image: Image, home: Home, progress: Progress) -> Prepared:
    """Return the tree of an image of one platform, made if it is not there; `hold` also keeps it.

    Only the user may enter it. Raises FormatError and TrustError for an image that cannot be
    unpacked, StoreError or ImageError when the tree cannot be written; nothing is left behind then.
    """
    name = digest.hex_of(image.root.digest)
    place = home.directory("trees") / name
    if not _is_ready(place):
        with home.lock(_lock(name)):
            if not _is_ready(place):
                _make(image, place, home.directory("tmp"), progress)
    owners = place / "owners"
    return Prepared(place / "root", owners if owners.exists() else None)


@contextmanager
def hold(image: Image, home: Home, progress: Progress) -> Iterator[Prepared]:
    """Prepare the tree of an image, and keep `drop` away from it until the context ends.

    Raises what `prepare` raises.
    """
    while True:
        tree = prepare(image, home, progress)
        descriptor = _lock_tree(tree.root.parent)
        if descriptor is not None:
            break  # or a collection has dropped it in between: that can happen once for each collection
    try:
        yield tree
    finally:
        os.close(descriptor)


def _lock_tree(place: Path) -> int | None:
    """Return a descriptor that locks a tree against `drop`; None if the tree is not there any more."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    try:
        # What is locked must be what has the name now, and not a tree that was dropped and made anew.
        if os.path.samestat(os.fstat(descriptor), place.stat()):
            return descriptor
    except FileNotFoundError:
        pass
    os.close(descriptor)
    return None


def drop(home: Home, wanted: Callable[[Digest], bool]) -> int:
    """Remove the trees of manifests that are not ``wanted`` and that nothing runs on; return how many."""
    dropped = 0
    for place in sorted(home.directory("trees").iterdir()):
        if not _NAME.issuperset(place.name) or wanted(f"sha256:{place.name}"):
            continue
        with home.lock(_lock(place.name)):
            dropped += _drop(place, home.directory("tmp"))
    return dropped


def _lock(name: str) -> str:
    # Some images share a lock, so that lock files do not add up.
    return f"tree-{name[0]}"


def _drop(place: Path, scratch: Path) -> bool:
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _discard(place, scratch)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in files.NO_LOCKS:
            raise
        return False  # without locks nobody knows whether something runs on it
    finally:
        os.close(descriptor)
    return True


def _is_ready(place: Path) -> bool:
    try:
        return (place / "boot").read_bytes() == _boot()
    except OSError:
        return False


def _boot() -> bytes:
    with suppress(OSError):
        return _BOOT.read_bytes()
    return b""


def _make(image: Image, place: Path, scratch: Path, progress: Progress) -> None:
    from pumice.image import rootfs

    temporary = scratch / f"tree-{files.scratch_name()}"
    try:
        with translate_os_errors(place):
            if place.exists():
                _discard(place, scratch)
            make_directory(temporary, private=True)  # there may be set-id programs in it
        shown = rootfs.write_directory(image, temporary / "root", progress=_WithoutNotes(progress))
        with translate_os_errors(place):
            if os.geteuid() != 0:
                _write_owners(temporary / "owners", shown, progress)
            (temporary / "boot").write_bytes(_boot())
            temporary.rename(place)
    except BaseException:
        _remove(temporary)
        raise


def _write_owners(path: Path, shown: Mapping[str, VisibleEntry], progress: Progress) -> None:
    """Keep what the tree lacks, as ``uid gid mode path`` with NULs between."""
    records = [
        f"{item.entry.uid} {item.entry.gid} {item.entry.mode:o} {name}\0"
        for name, item in shown.items()
        if (item.entry.uid or item.entry.gid or item.entry.mode & (stat.S_ISUID | stat.S_ISGID))
        and item.entry.kind not in ("char", "block")
    ]
    if records:
        path.write_text("".join(records), encoding="utf-8", errors="surrogateescape")
        progress.note(
            f"{len(records)} files belong to others than root in the image, or have set-id bits; "
            "where you have no subordinate ids they are yours"
        )


def _discard(place: Path, scratch: Path) -> None:
    """Take a tree away at once, then remove it."""
    grave = scratch / f"dropped-{files.scratch_name()}"
    place.rename(grave)
    _remove(grave)


def _remove(folder: Path) -> None:
    """Remove a tree with all that its modes forbid; what cannot be removed is left to the next gc."""
    import shutil

    with suppress(OSError):
        folder.chmod(0o700)
    for place, names, _ in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if not path.is_symlink():
                with suppress(OSError):
                    path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


class _WithoutNotes:
    """Progress of unpacking without its remarks on owners: here they have another meaning."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def task(self, label: str, total: int | None = None, *, unit: str = "bytes") -> Task:  # noqa: ARG002
        """Begin a piece of work."""
        return self._progress.task("unpacking the image", total, unit=unit)

    def note(self, message: str) -> None:
        """Say nothing."""

    def warn(self, message: str) -> None:
        """Pass a warning on."""
        self._progress.warn(message)
