"""The records in the directory of a pod."""

from __future__ import annotations

from typing import Literal

import msgspec


class HealthCheck(msgspec.Struct, frozen=True, kw_only=True):
    """A health check and its times in seconds (image-spec, "Healthcheck").

    ``command`` runs in the container; for the kinds ``http`` and ``tcp`` it is the host and the port that are
    asked from inside, followed by a path and lines of the header.
    """

    command: tuple[str, ...]
    kind: Literal["exec", "http", "tcp"] = "exec"
    interval: float = 30
    timeout: float = 30
    start_period: float = 0
    retries: int = 3


Condition = Literal["started", "healthy", "succeeded"]


class Dependency(msgspec.Struct, frozen=True):
    """An app that must have started, be healthy, or have ended with the exit code 0."""

    app: str
    condition: Condition = "started"


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """``pod.json``: what was started. Only the name can change.

    ``digest`` is that of the manifest that runs. ``created`` is a time in RFC 3339. ``run_options`` and
    ``run_arguments`` are what followed ``pumice run``, up to the image and from it on, in the working
    directory ``run_directory``.

    ``apps`` are the names of several apps, each of which has a directory below ``apps`` with files like those
    of a pod. Then the image and the command are those of the first. In the record of an app, ``app_of`` is
    the name of its pod, ``after`` names the apps that it waits for, and what they must have done. With
    ``shares_pids``, the apps share their process ids. Clients can write to the input of an ``interactive``
    program; with a ``terminal``, it has one of its own. Both are so only in the background. A virtual machine
    without ``shares_root`` has its files in its own memory.
    """

    id: str
    name: str
    image: str
    digest: str
    created: str
    command: tuple[str, ...]
    labels: dict[str, str] = {}
    stage1: str = "builtin"
    stop_signal: str = "SIGTERM"
    health_check: HealthCheck | None = None
    remove: bool = False
    init: bool = False
    run_options: tuple[str, ...] = ()
    run_arguments: tuple[str, ...] = ()
    run_directory: str = "/"
    run_verb: str = "run"
    apps: tuple[str, ...] = ()
    app_of: str = ""
    after: tuple[Dependency, ...] = ()
    shares_pids: bool = False
    interactive: bool = False
    terminal: bool = False
    shares_root: bool = True


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """``started``: written by the supervisor when the program was executed.

    A process is only the one that was recorded if it also has the start time (in ticks since the boot), and
    if the machine was not restarted since. The ``sandbox`` of a pod of several apps is its supervisor, or the
    process that has its virtual machine.
    """

    supervisor: int
    supervisor_start: int
    sandbox: int
    sandbox_start: int
    boot: str
    time: str


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """``ended``: the exit code, and the reason if the program did not end by itself.

    ``time`` is None if it is unknown.
    """

    exit_code: int
    error: str = ""
    time: str | None = None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """``health``: starting, healthy or unhealthy, the failures in a row, and the last output."""

    status: str
    failures: int = 0
    exit_code: int | None = None
    output: str = ""
    time: str | None = None
