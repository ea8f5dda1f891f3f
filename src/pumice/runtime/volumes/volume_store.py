"""The volumes of a store: ``volumes/NAME/`` with ``volume.json`` and the files in ``data``.

A pod holds a shared lock on the directory while it runs, so a volume in use is not removed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.decoding import decode_json
from pumice.errors import PodError, StoreError, UsageError
from pumice.os_errors import translate_os_errors
from pumice.ownership import make_directory
from pumice.runtime.pods.supervisor.pod_files import format_time
from pumice.runtime.volumes.owned_files import remove_owned_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pumice.store.home import Home

DATA = "data"
UNUSED = "unused"
"""A file that exists until the volume is mounted for the first time."""
_RECORD = "volume.json"
_LOCK = "volumes"
_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_MAX_NAME = 255
_MAX_RECORD = 1 << 20


class VolumeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``volume.json``; ``created`` is a time in RFC 3339."""

    created: str
    labels: dict[str, str] = {}


class Volume(msgspec.Struct, frozen=True):
    """A volume and its directory."""

    name: str
    directory: Path
    record: VolumeRecord

    @property
    def data(self) -> Path:
        """The directory that pods mount."""
        return self.directory / DATA


def is_volume_name(text: str) -> bool:
    """Return whether a volume can have this name."""
    return bool(text) and len(text) <= _MAX_NAME and _CHARACTERS.issuperset(text) and text[0].isalnum()


def check_name(text: str) -> str:
    """Return the name of a volume; raises UsageError if it is not one."""
    if not is_volume_name(text):
        raise UsageError(
            f"{text[:100]!r} is not a name for a volume",
            hint="use letters, digits, '_', '.' and '-', and begin with a letter or a digit",
        )
    return text


def create_volume(
    home: Home, name: str, labels: Mapping[str, str] | None = None, *, may_exist: bool = False
) -> Volume:
    """Create a volume, and return it; raises PodError if it exists, unless it ``may_exist``."""
    check_name(name)
    directory = home.directory("volumes") / name
    with home.lock(_LOCK):
        volume = _read(directory)
        if volume is not None:
            if may_exist:
                return volume
            raise PodError(f"the volume {name!r} exists already", hint="pass --ignore, or another name")
        record = VolumeRecord(created=format_time(time.time()), labels=dict(labels or {}))
        temporary = home.directory("tmp") / f"volume-{files.scratch_name()}"
        with translate_os_errors(directory):
            make_directory(temporary, private=True)
            make_directory(temporary / DATA)
            (temporary / UNUSED).touch()
            (temporary / _RECORD).write_bytes(msgspec.json.encode(record))
            temporary.rename(directory)
    return Volume(name, directory, record)


def list_volumes(home: Home) -> list[Volume]:
    """Return all volumes by name. Damaged directories are left out."""
    directory = home.root / "volumes"
    try:
        paths = sorted(path for path in directory.iterdir() if is_volume_name(path.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"cannot list the volumes: {error.strerror}", where=str(directory)) from None
    return [volume for path in paths if (volume := _read(path))]


def find_volume(home: Home, name: str) -> Volume:
    """Return the volume with a name; raises PodError if there is none."""
    volume = _read(home.root / "volumes" / name) if is_volume_name(name) else None
    if volume is None:
        raise PodError(f"there is no volume {name[:200]!r}", hint="list them with 'pumice volume ls'")
    return volume


def _read(directory: Path) -> Volume | None:
    try:
        with files.open_regular(directory / _RECORD) as file:
            return Volume(directory.name, directory, decode_json(file.read(_MAX_RECORD), VolumeRecord))
    except (OSError, msgspec.MsgspecError):
        return None


def lock_volume(home: Home, name: str) -> tuple[Volume, int]:
    """Return a volume, which is created if it does not exist, and a descriptor that protects it."""
    while True:
        volume = create_volume(home, name, may_exist=True)
        with suppress(FileNotFoundError), translate_os_errors(volume.directory):
            descriptor = os.open(volume.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), volume.directory.stat()):
                    return volume, descriptor
            os.close(descriptor)  # it was removed in between


@contextmanager
def lock_unused(volume: Volume) -> Iterator[bool]:
    """Yield whether no pod uses a volume; then none can begin to until the context ends."""
    try:
        descriptor = os.open(volume.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def remove_volume(home: Home, volume: Volume) -> bool:
    """Remove a volume with its files; return False if a pod uses it. Raises StoreError."""
    with lock_unused(volume) as is_unused:
        if not is_unused:
            return False
        trash = home.directory("tmp") / f"volume-{files.scratch_name()}"
        with translate_os_errors(volume.directory):
            volume.directory.rename(trash)
            try:
                shutil.rmtree(trash)
            except PermissionError:  # files of other ids that a pod of this user had
                remove_owned_tree(trash)
    return True
