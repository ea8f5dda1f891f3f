"""The new root: paths and mount points inside it."""

from __future__ import annotations

import errno
import os

from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.errors import SetupError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection


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

    def mount(
        self,
        source: str,
        path: str,
        kind: str | None,
        flags: int,
        data: str = "",
        kernel_devices: Collection[int] = (),
    ) -> None:
        """Mount on ``path``; ``flags`` of a bind mount also apply to the mounts below it.

        The path is looked up once, because another container may exchange a link in a volume at any time.
        Raises SetupError, also if ``path`` is on one of ``kernel_devices``.
        """
        try:
            target = self.ensure(path, directory=kind is not None or os.path.isdir(source))
            if os.fstat(target).st_dev in kernel_devices:
                raise SetupError(f"cannot mount on {path}: it leads to files of the kernel")
            if kind:
                syscalls.mount(source, f"/proc/self/fd/{target}", kind, flags, data)
            else:
                _bind(source, target, flags)
            os.close(target)
        except OSError as error:
            raise SetupError(f"cannot mount {kind or source} on {path} ({error.strerror})") from None


def _bind(source: str, target: int, flags: int) -> None:
    """Attach a copy of the mount at ``source``, which is restricted before anybody can use it."""
    mount_copy = syscalls.clone_mount(source)
    syscalls.add_mount_flags(mount_copy, flags)
    syscalls.attach_mount_on(mount_copy, target)
    os.close(mount_copy)
