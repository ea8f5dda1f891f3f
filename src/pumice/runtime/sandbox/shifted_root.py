"""The root of a container whose ids are shifted: root inside is an id without rights outside.

The caller is root of the host. Before it gives that up, it attaches the image's tree and the volumes as
idmapped mounts (mount_setattr(2)), so that files keep their owners inside. All is reached from the working
directory afterwards, because root inside may not enter the directories above it. A program of the host needs
absolute paths, so its directory is `HOST_SCRATCH`, which everyone may enter.
"""

from __future__ import annotations

import os
import stat

from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.errors import SetupError
from pumice.runtime.sandbox.syscalls import CLONE_NEWNS, MS_NODEV, MS_NOSUID, MS_PRIVATE, MS_REC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice.runtime.sandbox.options import Options

HOST_SCRATCH = "/tmp"


def outside_id(options: Options, kind: str, number: int) -> int:
    """Return the id outside of the user namespace for one inside; ``kind`` is ``uid`` or ``gid``."""
    for extent in options.maps[kind] if options.shifted else ():
        inside, outside, count = map(int, extent.split())
        if inside <= number < inside + count:
            return outside + number - inside
    return number


def prepare_sources(options: Options) -> list[tuple[int, str]]:
    """Mount the writable directory; return copies of mounts, and where `attach_sources` attaches them.

    This process has its own mount namespace then, and that directory is its working directory.
    """
    syscalls.unshare(CLONE_NEWNS)
    syscalls.mount("none", "/", None, MS_REC | MS_PRIVATE)
    sources = [(_clone(options.root), "lower")]
    mounts = []
    for number, (kind, source, target) in enumerate(options.mounts):
        if kind.endswith("tmpfs"):
            mounts.append((kind, source, target))
        elif source.startswith(options.root + "/"):
            mounts.append((kind, source[len(options.root) + 1 :], target))
        else:
            mounts.append((kind, f"volumes/{number}", target))
            is_recursive = not kind.startswith("flat")
            sources.append((_clone(source, recursive=is_recursive), f"volumes/{number}"))
    if options.bundle:
        sources.append((_clone(options.bundle), "bundle"))
    options.mounts = mounts
    mode = stat.S_IMODE(os.stat(sources[0][0]).st_mode)
    directory = HOST_SCRATCH if options.only_root else options.root
    syscalls.mount("tmpfs", directory, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    os.chdir(directory)
    for name in ("volumes", "upper", "work", "root"):
        os.mkdir(name, 0o755)
    os.chmod("upper", mode)
    for mount_copy, name in sources:
        if stat.S_ISDIR(os.stat(mount_copy).st_mode):
            os.mkdir(name, 0o755)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    for name in (".", "upper", "work", "root"):
        os.chown(name, outside_id(options, "uid", 0), outside_id(options, "gid", 0))
    return sources


def clone_flat_sources(options: Options) -> list[tuple[int, str]]:
    """Copy the mounts that must not show what is below them, if this is root; return no sources.

    In the user namespace of the container that is forbidden, so that nothing hidden is uncovered.
    """
    if os.geteuid() == 0:
        options.mounts = [
            (kind.replace("flat", "cloned"), str(_clone(source, recursive=False)), target)
            if kind.startswith("flat")
            else (kind, source, target)
            for kind, source, target in options.mounts
        ]
    return []


def attach_sources(sources: list[tuple[int, str]], process: int) -> None:
    """Attach the sources, with their ids shifted as in the user namespace of ``process``.

    A volume on a file system that cannot shift ids is attached as it is: its files belong to nobody inside.
    """
    namespace = os.open(f"/proc/{process}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    for number, (mount_copy, name) in enumerate(sources):
        try:
            syscalls.shift_ids(mount_copy, namespace)
        except OSError:
            if number == 0:
                raise
        syscalls.attach_mount(mount_copy, name)
    os.close(namespace)


def become_root() -> None:
    """Become root of the user namespace; until then, this process has the id of root outside."""
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def _clone(path: str, *, recursive: bool = True) -> int:
    try:
        return syscalls.clone_mount(path, recursive=recursive)
    except OSError as error:
        raise SetupError(f"cannot mount {path} ({error.strerror})") from None
