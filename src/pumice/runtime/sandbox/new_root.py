"""The new root: paths and mount points inside it."""

from __future__ import annotations

import errno
import os
import stat

from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.errors import SetupError


class NewRoot:
    """A directory that becomes the root. Paths are resolved inside it, so no link of the image leads out."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._protected: set[int] = set()

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

    def protect_kernel_files(self) -> None:
        """Let nothing be mounted on /proc and /sys any more, or below; control groups are none of these."""
        for path in ("/proc", "/sys"):
            try:
                descriptor = self.open(path)
            except OSError:
                continue
            self._protected.add(os.fstat(descriptor).st_dev)
            os.close(descriptor)
        self._protected.discard(os.fstat(self.descriptor).st_dev)  # they are not mounted

    def mount(self, source: str, path: str, kind: str, flags: int, data: str = "") -> None:
        """Mount a file system on ``path``."""
        try:
            target = self._mount_point(path, directory=True)
            syscalls.mount(source, f"/proc/self/fd/{target}", kind, flags, data)
            os.close(target)
        except OSError as error:
            raise SetupError(f"cannot mount {kind} on {path} ({error.strerror})") from None

    def bind(self, source: str, path: str, flags: int, *, recursive: bool = True) -> None:
        """Mount a file or directory on ``path``, if ``recursive`` with the mounts below it.

        ``flags`` apply to these, too.
        """
        try:
            mount_copy = syscalls.clone_mount(source, recursive=recursive)
        except OSError as error:
            # The kernel locks mounts in another user's namespace, so that what they hide stays hidden.
            is_locked = not recursive and error.errno == errno.EINVAL
            hint = "only root can leave out what is mounted below it" if is_locked else ""
            raise SetupError(f"cannot mount {source} on {path} ({error.strerror})", hint) from None
        self.attach(mount_copy, path, flags, source)

    def attach(self, mount_copy: int, path: str, flags: int, source: str = "a volume") -> None:
        """Attach a copy of the mount at ``source`` at ``path``, and close its descriptor.

        It is restricted before, and the path is looked up once: another container may exchange a link in
        a volume at any time.
        """
        try:
            target = self._mount_point(path, directory=stat.S_ISDIR(os.stat(mount_copy).st_mode))
            syscalls.add_mount_flags(mount_copy, flags)
            syscalls.attach_mount_at(mount_copy, target)
            os.close(target)
            os.close(mount_copy)
        except OSError as error:
            raise SetupError(f"cannot mount {source} on {path} ({error.strerror})") from None

    def _mount_point(self, path: str, *, directory: bool) -> int:
        target = self.ensure(path, directory)
        if os.fstat(target).st_dev in self._protected:
            raise SetupError(f"cannot mount on {path}: it leads to files of the kernel")
        return target
