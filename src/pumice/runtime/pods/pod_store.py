"""The pods of a store: one directory each, whose files and lock say in which state the pod is.

``pods/ID/`` appears complete, by a rename, and disappears by another one. Whoever runs the pod holds an
exclusive flock(2) on the directory, which the kernel releases when that process ends, however it ends. So:

| ``ended`` | lock | ``started`` | state |
|---|---|---|---|
| yes | any | any | exited |
| no | held | yes | running; paused if `paused` names a control group that is frozen |
| no | held | no | starting |
| no | free | yes | exited: the supervisor was killed, or the machine was restarted |
| no | free | no | created; prepared if the file ``prepared`` exists |

No process keeps a list, and nothing has to be repaired after a crash.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from pumice import files
from pumice.errors import PodError, StoreError, UsageError
from pumice.os_errors import translate_os_errors
from pumice.ownership import make_directory
from pumice.runtime.pods import freezer, pod_lock
from pumice.runtime.pods.records import Ended, Health, Pod, Started
from pumice.runtime.pods.supervisor import frozen, pod_files
from pumice.runtime.stage1 import bundles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.store.home import Home

    _Record = TypeVar("_Record", Started, Ended, Health)

CREATED, PREPARED, STARTING, RUNNING, EXITED = "created", "prepared", "starting", "running", "exited"
"""The states of a pod, in their order."""
PAUSED = "paused"
"""The state of a running pod whose processes are frozen; of several apps, those of all that run."""
PLAN = "plan"
"""The file with the options of the sandbox, in the format of `sandbox.argument_codec`."""
MARK_OF_PREPARED = "prepared"
"""The file with the record of a pod that was prepared; see `preparation`."""
FILTER = "filter"
"""The file with the filter of system calls, if there is one."""
APPS, VOLUMES = "apps", "volumes"
"""The directories of the apps, and of the volumes that exist as long as the pod."""
SPEC = "spec.json"
"""The file with what was asked for: `pod_inputs.model.PodInput`."""
_POD = "pod.json"
_LOCK = "pods"
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_ID_CHARACTERS = frozenset("0123456789abcdef-")
_MAX_NAME = 128
_MAX_RECORD = 1 << 22
_SHORTEST_PREFIX = 2
_KILLED = 137
_LOCK_TRIES, _LOCK_SECONDS = 50, 0.01


class EmptyVolume(msgspec.Struct, frozen=True):
    """A directory of a pod, its mode, and the owner that it has if root creates it."""

    name: str
    mode: int
    uid: int
    gid: int


class PodContent(msgspec.Struct, frozen=True):
    """What is written into the directory of a new pod: its record, files, empty volumes and apps."""

    pod: Pod
    files: dict[str, bytes]
    volumes: tuple[EmptyVolume, ...] = ()
    apps: tuple[PodContent, ...] = ()


class PodState(msgspec.Struct, frozen=True):
    """A pod and what is known of it at one moment."""

    directory: Path
    pod: Pod
    state: str
    started: Started | None = None
    ended: Ended | None = None
    health: Health | None = None

    @property
    def has_program(self) -> bool:
        """Return whether the pod runs, paused or not."""
        return self.state in (RUNNING, PAUSED)


def new_id() -> str:
    """Return a random UUID (RFC 9562, version 4)."""
    data = bytearray(os.urandom(16))
    data[6] = data[6] & 0x0F | 0x40
    data[8] = data[8] & 0x3F | 0x80
    text = data.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def check_name(name: str) -> str:
    """Return the name of a pod; raises UsageError if it is not one."""
    if not name or len(name) > _MAX_NAME or not _NAME_CHARACTERS.issuperset(name) or not name[0].isalnum():
        raise UsageError(
            f"{name[:100]!r} is not a name for a pod",
            hint="use letters, digits, '_', '.' and '-', and begin with a letter or a digit",
        )
    return name


def create_pod(home: Home, content: PodContent) -> tuple[int, ...]:
    """Create the directory of a pod; return descriptors of it and of those of its apps, which hold locks.

    Raises PodError if another pod has the name, and StoreError if the directory cannot be written.
    """
    pod = content.pod
    directory = home.directory("pods") / pod.id
    temporary = home.directory("tmp") / f"pod-{pod.id}"
    descriptors: list[int] = []
    with home.lock(_LOCK):
        for other in list_pods(home):
            if other.pod.id == pod.id and other.state == PREPARED:
                _give_way(home, other)
            elif other.pod.name == pod.name:
                raise PodError(
                    f"the name {pod.name!r} is in use by the pod {other.pod.id[:12]}",
                    hint=f"remove it with 'pumice rm {pod.name}', or use another name",
                )
        with translate_os_errors(directory):
            try:
                descriptors.append(_write_pod(temporary, content))
                if content.apps:
                    make_directory(temporary / APPS, private=True)
                for app in content.apps:
                    descriptor = _write_pod(temporary / APPS / app.pod.name, app)
                    descriptors.append(descriptor)
                temporary.rename(directory)
            except BaseException:
                for descriptor in descriptors:
                    os.close(descriptor)
                pod_files.remove_directory(str(temporary), str(temporary.parent))
                raise
    return tuple(descriptors)


def _write_pod(directory: Path, content: PodContent) -> int:
    """Write the directory of a pod or an app, and return a descriptor that holds its lock."""
    make_directory(directory, private=True)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    (directory / _POD).write_bytes(msgspec.json.encode(content.pod))
    if content.volumes:
        make_directory(directory / VOLUMES)
    for volume in content.volumes:
        path = directory / VOLUMES / volume.name
        make_directory(path)
        if os.geteuid() == 0 and (volume.uid or volume.gid):
            os.chown(path, volume.uid, volume.gid)
        path.chmod(volume.mode)
    for name, data in content.files.items():
        path = directory / name
        path.write_bytes(data)
        if name.startswith(f"{VOLUMES}/"):
            path.chmod(0o644)  # the users of the container read it, whatever the umask is
    # The record of the end must be written even if the disk is full then.
    (directory / ".ended").write_bytes(b" " * pod_files.RESERVE)
    return descriptor


def read_apps(state: PodState) -> list[PodState]:
    """Return the apps of a pod, each as a pod of its own; a pod of one app is its own app."""
    if not state.pod.apps:
        return [state]
    return [app for name in state.pod.apps if (app := read_pod(state.directory / APPS / name))]


def read_first_app(state: PodState) -> PodState:
    """Return the first app of a pod; raises PodError if the records of all are damaged."""
    for app in read_apps(state):
        return app
    raise PodError(f"the records of the apps of the pod {state.pod.name} are damaged or gone")


def find_app(state: PodState, name: str | None) -> PodState:
    """Return an app of a pod by its name, and the only one by None; raises PodError."""
    apps = read_apps(state)
    names = ", ".join(state.pod.apps)
    if name is None:
        if len(apps) != 1:
            raise PodError(f"the pod {state.pod.name} has several apps", hint=f"pass --app: {names}")
        return apps[0]
    for app in apps:
        if app.pod.name == name and state.pod.apps:
            return app
    hint = f"it has {names}" if state.pod.apps else "it has only one, so omit --app"
    raise PodError(f"the pod {state.pod.name} has no app {name[:100]!r}", hint=hint)


def _give_way(home: Home, prepared: PodState) -> None:
    """Remove the directory of a prepared pod that starts now; raises PodError if it has started."""
    if not remove_pod(home, prepared):
        raise PodError(f"the pod {prepared.pod.name} is started by another command")


def list_pods(home: Home) -> list[PodState]:
    """Return all pods, the oldest first. Damaged directories are left out."""
    directory = home.root / "pods"
    try:
        paths = [path for path in directory.iterdir() if _ID_CHARACTERS.issuperset(path.name)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"cannot list the pods: {error.strerror}", where=str(directory)) from None
    pods = [state for path in paths if (state := read_pod(path))]
    return sorted(pods, key=lambda state: (state.pod.created, state.pod.id))


def find_pods(home: Home, text: str) -> list[PodState]:
    """Return the pods with this name or id, or whose id begins with ``text``."""
    pods = list_pods(home)
    exact = [state for state in pods if text in (state.pod.name, state.pod.id)]
    if exact or len(text) < _SHORTEST_PREFIX:
        return exact
    return [state for state in pods if state.pod.id.startswith(text)]


def find_pod(home: Home, text: str) -> PodState:
    """Return the only pod that ``text`` means; raises PodError."""
    pods = find_pods(home, text)
    if not pods:
        raise PodError(f"there is no pod {text[:200]!r}", hint="list them with 'pumice ps --all'")
    if len(pods) > 1:
        raise PodError(f"{len(pods)} pods have an id that begins with {text!r}", hint="write more of the id")
    return pods[0]


def read_pod(directory: Path) -> PodState | None:
    """Return the state of the pod in a directory, None if there is none."""
    try:
        with files.open_regular(directory / _POD) as file:
            pod = msgspec.json.decode(file.read(_MAX_RECORD), type=Pod)
        is_locked = pod_lock.is_locked(directory)
    except (OSError, msgspec.MsgspecError):
        return None
    # In this order: a record of the end that is written now is seen after the lock was free.
    started = _read_record(directory / "started", Started)
    ended = _read_record(directory / "ended", Ended)
    health = _read_record(directory / "health", Health)
    if ended:
        state = EXITED
    elif is_locked:
        state = STARTING if not started else PAUSED if _is_paused(directory, pod) else RUNNING
    elif started:
        state, ended = EXITED, _explain_end(started)
    else:
        state = PREPARED if (directory / MARK_OF_PREPARED).exists() else CREATED
    return PodState(directory, pod, state, started, ended, health)


def _is_paused(directory: Path, pod: Pod) -> bool:
    if not pod.apps:
        return frozen.is_paused(str(directory / frozen.NAME))
    if not any((directory / APPS / name / frozen.NAME).exists() for name in pod.apps):
        return False
    states = {app.state for name in pod.apps if (app := read_pod(directory / APPS / name))}
    return PAUSED in states and RUNNING not in states


def _explain_end(started: Started) -> Ended:
    """Return the end of a pod that nobody recorded."""
    if started.boot != pod_files.read_boot_id():
        return Ended(exit_code=_KILLED, error="the machine was restarted")
    return Ended(exit_code=_KILLED, error="its supervisor was killed")


def _read_record(path: Path, kind: type[_Record]) -> _Record | None:
    try:
        with files.open_regular(path) as file:
            return msgspec.json.decode(file.read(_MAX_RECORD), type=kind)
    except (OSError, msgspec.MsgspecError):
        return None


@contextmanager
def lock_pod(directory: Path) -> Iterator[int | None]:
    """Yield a descriptor that holds the lock of a pod which nobody runs, None if it runs or is gone."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor if _try_lock(descriptor, directory) else None
    finally:
        with suppress(OSError):
            os.close(descriptor)


def _try_lock(descriptor: int, directory: Path) -> bool:
    """Lock a pod's directory; return whether nobody runs the pod, and the directory is still there.

    A command that looks at the pod holds a shared lock for a moment.
    """
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.path.samestat(os.fstat(descriptor), directory.stat())
        except FileNotFoundError:
            return False
        except BlockingIOError:
            time.sleep(_LOCK_SECONDS)
    return False


def remove_pod(home: Home, state: PodState) -> bool:
    """Remove the directory of a pod that is not running; return whether it was there and not running."""
    trash = home.directory("tmp")
    with lock_pod(state.directory) as descriptor:
        if descriptor is None:
            return False
        thaw_remains(state.directory)
        bundles.remove_stale_bundles(state.directory)
        with translate_os_errors(state.directory):
            pod_files.remove_directory(str(state.directory), str(trash))
    return True


def thaw_remains(directory: Path) -> None:
    """Thaw what is left of a pod whose supervisor was killed: frozen processes do not end (version 1)."""
    for app in (directory, *sorted((directory / APPS).glob("*"))):
        if (app / frozen.NAME).exists():
            with suppress(OSError):
                freezer.thaw(app / frozen.NAME)


def rename_pod(home: Home, state: PodState, name: str) -> None:
    """Give a pod another name; raises PodError if another pod has it, and UsageError if it is not a name."""
    check_name(name)
    with home.lock(_LOCK):
        for other in list_pods(home):
            if other.pod.name == name and other.pod.id != state.pod.id:
                raise PodError(f"the name {name!r} is in use by the pod {other.pod.id[:12]}")
        pod = msgspec.structs.replace(state.pod, name=name)
        # The apps first: if this is interrupted, the pod still has its old name.
        for app in read_apps(state) if state.pod.apps else ():
            _write_record(app.directory, msgspec.structs.replace(app.pod, app_of=name))
        _write_record(state.directory, pod)


def _write_record(directory: Path, pod: Pod) -> None:
    temporary = directory / f".{_POD}"
    with translate_os_errors(directory):
        temporary.write_bytes(msgspec.json.encode(pod))
        temporary.rename(directory / _POD)


def choose_name(reference: str, pod_id: str) -> str:
    """Return a name for a pod: the last part of the image's name, and the beginning of the id."""
    repository = reference.partition("@")[0].rpartition("/")[2].partition(":")[0]
    stem = "".join(letter for letter in repository if letter in _NAME_CHARACTERS)[:64].lstrip("-._") or "pod"
    return f"{stem}-{pod_id[:6]}"
