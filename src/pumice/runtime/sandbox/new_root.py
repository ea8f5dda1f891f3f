"""The new root: paths and mount points inside it."""

from __future__ import annotations

import errno
import os
import stat

from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.errors import SetupError
from pumice.runtime.sandbox.syscalls import MS_BIND, MS_REC


class NewRoot:
    """A directory that becomes the root. Paths are resolved inside it, so no link of the image leads out."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def open(self, path: str) -> int:
        """Return an O_PATH descriptor of ``path`` inside the root."""
        return syscalls.open_in_root(self.descriptor, path)

    def ensure(self, path: str, directory: bool) -> int:
        """Return a descriptor of ``path``, which is created with its parents if it does not exist."""
        try:
            return self.open(path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ELOOP):
                raise
            parent_path, _, name = path.rstrip("/").rpartition("/")
        parent = self.ensure(parent_path or "/", directory=True)
        try:
            os.unlink(name, dir_fd=parent)  # a dangling or circular link
        except FileNotFoundError:
            pass
        if directory:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=parent))
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=parent)
        os.close(parent)
        return descriptor

    def mount(self, source: str, path: str, kind: str, flags: int, data: str = "") -> None:
        """Mount a file system on ``path``."""
        try:
            target = self.ensure(path, directory=True)
            syscalls.mount(source, f"/proc/self/fd/{target}", kind, flags, data)
            os.close(target)
        except OSError as error:
            raise SetupError(f"cannot mount {kind} on {path} ({error.strerror})") from None

    def bind(self, source: str, path: str, flags: int, *, recursive: bool = True) -> None:
        """Mount a file or directory on ``path``, if ``recursive`` with the mounts below it.

        ``flags`` apply to these, too.
        """
        try:
            target = self.ensure(path, directory=os.path.isdir(source))
            kind = MS_BIND | MS_REC if recursive else MS_BIND
            syscalls.mount(source, f"/proc/self/fd/{target}", None, kind)
            os.close(target)
            self._restrict(path, flags)
        except OSError as error:
            # The kernel locks mounts in another user's namespace, so that what they hide stays hidden.
            is_locked = not recursive and error.errno == errno.EINVAL
            hint = "only root can leave out what is mounted below it" if is_locked else ""
            raise SetupError(f"cannot mount {source} on {path} ({error.strerror})", hint) from None

    def attach(self, mount_copy: int, path: str, flags: int) -> None:
        """Attach a copy of a mount at ``path``, and close its descriptor."""
        try:
            target = self.ensure(path, directory=stat.S_ISDIR(os.stat(mount_copy).st_mode))
            syscalls.attach_mount_at(mount_copy, target)
            os.close(target)
            os.close(mount_copy)
            self._restrict(path, flags)
        except OSError as error:
            raise SetupError(f"cannot mount a volume on {path} ({error.strerror})") from None

    def _restrict(self, path: str, flags: int) -> None:
        mount_point = self.open(path)
        syscalls.add_mount_flags(mount_point, flags)
        os.close(mount_point)
