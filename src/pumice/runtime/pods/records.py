"""The records in the directory of a pod."""

from __future__ import annotations

import msgspec


class HealthCheck(msgspec.Struct, frozen=True, kw_only=True):
    """A health check: a command in the container, and its times in seconds (image-spec, "Healthcheck")."""

    command: tuple[str, ...]
    interval: float = 30
    timeout: float = 30
    start_period: float = 0
    retries: int = 3


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """``pod.json``: what was started. It never changes.

    ``digest`` is that of the manifest that runs. ``created`` is a time in RFC 3339. ``run_options`` and
    ``run_arguments`` are what followed ``pumice run``, up to the image and from it on, in the working
    directory ``run_directory``.
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


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """``started``: written by the supervisor when the program was executed.

    A process is only the one that was recorded if it also has the start time (in ticks since the boot), and
    if the machine was not restarted since.
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
