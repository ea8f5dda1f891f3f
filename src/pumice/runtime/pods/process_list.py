"""What is known of the processes of a running pod (proc(5))."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.formats.lines import split_lines
from pumice.runtime.pods import pod_store, processes

if TYPE_CHECKING:
    from pumice.runtime.pods.pod_store import PodState
    from pumice.runtime.pods.processes import PodProcess

_MAX_COMMAND = 1 << 16


class ListedProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A process of a pod.

    ``pid`` is its number in the pod and ``host_pid`` that on this machine; ``uid`` is its user in the pod, or
    that of this machine if the pod cannot name it. ``state`` is the letter of proc(5), ``memory`` is
    in bytes. ``app`` is the name of its app in a pod of several, "" for its virtual machine.
    """

    app: str = ""
    pid: int
    host_pid: int
    uid: int
    state: str
    cpu_seconds: float
    memory: int
    command: tuple[str, ...]


def list_processes(state: PodState, app: str | None = None) -> list[ListedProcess]:
    """Return the processes of a pod or of one app, parents first; raises PodError if it does not run."""
    apps = [pod_store.find_app(state, app)] if app else pod_store.read_apps(state)
    if not app:
        processes.require_running(state)
        apps = [running for running in apps if running.has_program]
        apps += [state] if processes.has_machine(state.pod) else []
    listed = []
    for running in apps:
        for process in processes.list_container_processes(running):
            with suppress(OSError, ValueError, IndexError):  # it has ended
                listed.append(_describe(process, running.pod.name if running.pod.app_of else ""))
    return listed


def _describe(process: PodProcess, app: str) -> ListedProcess:
    directory = Path(f"/proc/{process.pid}")
    head, _, tail = (directory / "stat").read_text(errors="replace").rpartition(")")
    fields = tail.split()
    with (directory / "cmdline").open("rb") as file:
        words = file.read(_MAX_COMMAND).decode(errors="replace").split("\0")[:-1]
    return ListedProcess(
        app=app,
        pid=process.inner_pid,
        host_pid=process.pid,
        uid=_inner_uid(directory),
        state=fields[0],
        cpu_seconds=(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        memory=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        command=tuple(words) or (f"[{head.partition('(')[2]}]",),
    )


def _inner_uid(directory: Path) -> int:
    """Return the user of a process as its own user namespace sees it."""
    uid = directory.stat().st_uid
    for line in split_lines((directory / "status").read_text(errors="replace")):
        if line.startswith("Uid:"):
            uid = int(line.split()[2])
    for line in split_lines((directory / "uid_map").read_text()):
        inside, outside, count = map(int, line.split())
        if outside <= uid < outside + count:
            return inside + uid - outside
    return uid
