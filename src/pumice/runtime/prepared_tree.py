"""Prepared trees: the root file systems of images, unpacked once into the store and never changed.

``trees/<hex digits of the manifest's digest>/`` has ``root``, the tree; ``owners``, the owners that could not
be set because Pumice did not run as root; ``fingerprint``, see `tree_fingerprint`; and ``boot``, the boot
id. Trees are not synced to the disk, which
would take longer than unpacking, so a tree from before the last boot is unpacked again.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from pumice import digest, files
from pumice.os_errors import translate_os_errors
from pumice.ownership import make_directory
from pumice.runtime import tree_fingerprint
from pumice.runtime.launch.trees import BOOT, FINGERPRINT, lock_tree, read_boot_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pumice.digest import Digest
    from pumice.image.flatten import VisibleEntry
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.store.home import Home

Verification = Literal["fast", "full"]
_NAME = frozenset("0123456789abcdef")


class PreparedTree(msgspec.Struct, frozen=True):
    """A prepared tree: its root, and the file with the owners that it lacks, None if there is none.

    ``lock`` is the descriptor by which `hold` protects it. A process that inherits it protects the tree, too.
    """

    root: Path
    owners: Path | None = None
    lock: int = -1


def prepare(image: Image, home: Home, progress: Progress, *, verify: Verification = "fast") -> PreparedTree:
    """Return the tree of an image of one platform, unpacked if needed; `hold` also protects it.

    A tree that was changed is unpacked again; ``verify`` says whether that is found by the metadata of its
    files, or by reading them. Only its user can enter it.

    Raises FormatError and TrustError for an image that cannot be unpacked,
    StoreError or ImageError if the tree cannot be written; then no partial tree remains.
    """
    name = digest.hex_of(image.root.digest)
    directory = home.directory("trees") / name
    if not _is_usable(directory, verify):
        with home.lock(_lock_name(name)):
            if not _is_usable(directory, verify, progress):
                _unpack(image, directory, home.directory("tmp"), progress)
    owners = directory / "owners"
    return PreparedTree(directory / "root", owners if owners.exists() else None)


@contextmanager
def hold(
    image: Image, home: Home, progress: Progress, *, verify: Verification = "fast"
) -> Iterator[PreparedTree]:
    """Prepare the tree of an image, and protect it from `remove_unused` until the context ends.

    Raises the errors of `prepare`.
    """
    while True:
        tree = prepare(image, home, progress, verify=verify)
        descriptor = lock_tree(str(tree.root.parent))
        if descriptor is not None:
            break  # else a collection removed it in between, which happens at most once per collection
    try:
        yield msgspec.structs.replace(tree, lock=descriptor)
    finally:
        os.close(descriptor)


def remove_unused(home: Home, is_needed: Callable[[Digest], bool]) -> int:
    """Remove the trees of manifests that are not needed and not in use; return their number."""
    count = 0
    for directory in sorted(home.directory("trees").iterdir()):
        if not _NAME.issuperset(directory.name) or is_needed(f"sha256:{directory.name}"):
            continue
        with home.lock(_lock_name(directory.name)):
            count += _remove_if_unused(directory, home.directory("tmp"))
    return count


def _lock_name(name: str) -> str:
    # Images share 16 locks, so that there are few lock files.
    return f"tree-{name[0]}"


def _remove_if_unused(directory: Path, scratch: Path) -> bool:
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _discard(directory, scratch)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in files.NO_LOCKS:
            raise
        return False  # without locks it is unknown whether the tree is in use
    finally:
        os.close(descriptor)
    return True


def _is_ready(directory: Path) -> bool:
    try:
        # Earlier versions made trees without a fingerprint.
        return (directory / BOOT).read_bytes() == read_boot_id() and (directory / FINGERPRINT).exists()
    except OSError:
        return False


def _is_usable(directory: Path, verify: Verification, progress: Progress | None = None) -> bool:
    """Return whether a tree is ready and was not changed; ``progress`` is warned of changes."""
    if not _is_ready(directory):
        return False
    changes = tree_fingerprint.find_changes(directory, full=verify == "full")
    if changes and progress:
        paths = ", ".join(f"/{path}"[:100] for path in changes)
        progress.warn(f"the unpacked files of the image were changed ({paths}), so they are unpacked again")
    return not changes


def _unpack(image: Image, directory: Path, scratch: Path, progress: Progress) -> None:
    from pumice.image import rootfs
    from pumice.progress import WithoutNotes

    temporary = scratch / f"tree-{files.scratch_name()}"
    try:
        with translate_os_errors(directory):
            if directory.exists():
                _discard(directory, scratch)
            make_directory(temporary, private=True)  # it may contain set-id programs
        entries = rootfs.write_directory(
            image, temporary / "root", progress=WithoutNotes(progress, "unpacking the image")
        )
        with translate_os_errors(directory):
            if os.geteuid() != 0:
                _write_owners(temporary / "owners", entries, progress)
            tree_fingerprint.record(temporary)
            (temporary / BOOT).write_bytes(read_boot_id())
            temporary.rename(directory)
    except BaseException:
        _remove(temporary)
        raise


def _write_owners(path: Path, entries: Mapping[str, VisibleEntry], progress: Progress) -> None:
    """Write the owners and set-id bits that the tree lacks: ``uid gid mode path``, separated by NULs."""
    records = [
        f"{visible.entry.uid} {visible.entry.gid} {visible.entry.mode:o} {name}\0"
        for name, visible in entries.items()
        if (visible.entry.uid or visible.entry.gid or visible.entry.mode & (stat.S_ISUID | stat.S_ISGID))
        and visible.entry.kind not in ("char", "block")
    ]
    if records:
        path.write_text("".join(records), encoding="utf-8", errors="surrogateescape")
        from pumice.runtime import id_maps

        if id_maps.subordinate_maps() is None:
            progress.note(
                f"{len(records)} files of the image have another owner than root, or set-id bits; "
                "they belong to you in the container, because you have no subordinate ids (subuid(5))"
            )


def _discard(directory: Path, scratch: Path) -> None:
    """Move a tree away atomically, then remove it."""
    discarded = scratch / f"dropped-{files.scratch_name()}"
    directory.rename(discarded)
    _remove(discarded)


def _remove(folder: Path) -> None:
    """Remove a tree, including read-only directories; what remains is left to the next collection."""
    import shutil

    with suppress(OSError):
        folder.chmod(0o700)
    for parent, names, _ in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if not path.is_symlink():
                with suppress(OSError):
                    path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
