"""The writable root: an image's tree below an overlay, or a copy of it, in memory."""

from __future__ import annotations

import os
import stat

from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.errors import SetupError
from pumice.runtime.sandbox.new_root import NewRoot
from pumice.runtime.sandbox.syscalls import (
    CLONE_NEWNS,
    MS_BIND,
    MS_NODEV,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
)
from pumice.runtime.sandbox.user_namespace import has_many_ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice.runtime.sandbox.options import Options


def mount_writable_root(options: Options) -> NewRoot:
    """Return a root over ``options.root`` that keeps changes in memory, so that nothing is left behind.

    With ``options.in_place`` it is that directory itself.
    """
    syscalls.unshare(CLONE_NEWNS)
    syscalls.mount("none", "/", None, MS_REC | MS_PRIVATE)
    if options.in_place:
        return _bind_root(options.root)
    if options.shifted:
        return _mount_shifted_root(options)
    try:
        lower = os.open(options.root, os.O_PATH | os.O_DIRECTORY)
    except OSError as error:
        raise SetupError(f"the root {options.root} cannot be opened ({error.strerror})") from None
    syscalls.mount("tmpfs", options.root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    os.chdir(options.root)
    for name in ("upper", "work", "root"):
        os.mkdir(name, 0o755)
    status = os.stat(lower)
    os.chmod("upper", stat.S_IMODE(status.st_mode))
    _write_files(options)
    if options.copy or not _try_overlay(lower):
        _copy_root(lower, preserve_owners=has_many_ids(options))
    os.close(lower)  # the program's init does not execute anything that would close it
    root = NewRoot(os.open("root", os.O_PATH | os.O_DIRECTORY))
    if options.owners:
        _restore_owners(root, options.owners)
    return root


def _mount_shifted_root(options: Options) -> NewRoot:
    """Return the root for which `shifted_root` prepared the directories below the working directory."""
    _write_files(options)
    lower = os.open("lower", os.O_PATH | os.O_DIRECTORY)
    if options.copy or not _try_overlay(lower):
        _copy_root(lower, preserve_owners=True)
    os.close(lower)
    return NewRoot(os.open("root", os.O_PATH | os.O_DIRECTORY))


def _write_files(options: Options) -> None:
    for file_name, text in options.files:
        with open(file_name, "x", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)


def _bind_root(path: str) -> NewRoot:
    syscalls.mount(path, path, None, MS_BIND)
    root = NewRoot(os.open(path, os.O_PATH | os.O_DIRECTORY))
    syscalls.add_mount_flags(root.descriptor, MS_NOSUID | MS_NODEV)
    return root


def _try_overlay(lower: int) -> bool:
    layers = f"userxattr,lowerdir=/proc/self/fd/{lower},upperdir=upper,workdir=work"
    try:
        syscalls.mount("overlay", "root", "overlay", MS_NOSUID | MS_NODEV, layers)
    except OSError:  # before Linux 5.11, or on an unsupported file system
        return False
    return True


def _copy_root(lower: int, preserve_owners: bool) -> None:
    command = ["cp", "-a", f"/proc/self/fd/{lower}/.", "root"]
    if not preserve_owners:
        command.insert(2, "--no-preserve=ownership")
    os.set_inheritable(lower, True)
    if os.spawnvp(os.P_WAIT, "cp", command):
        raise SetupError("the root can be neither overlaid nor copied into memory")
    os.set_inheritable(lower, False)
    syscalls.mount("root", "root", None, MS_BIND | MS_REC)


def _restore_owners(root: NewRoot, records: str) -> None:
    """Set the owners that could not be set when the root was unpacked."""
    with open(records, encoding="utf-8", errors="surrogateescape") as file:
        for record in file.read().split("\0")[:-1]:
            uid, gid, mode, path = record.split(" ", 3)
            parent = root.open("/" + os.path.dirname(path))
            name = os.path.basename(path) or "."  # the root itself
            os.chown(name, int(uid), int(gid), dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                os.chmod(name, int(mode, 8), dir_fd=parent)
            os.close(parent)
