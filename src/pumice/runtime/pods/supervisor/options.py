"""The options of the supervisor's command line."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class SupervisorOptions:
    """The options; a descriptor is one that the supervisor inherits."""

    def __init__(self) -> None:
        self.directory = -1  # --directory FD: the pod's directory, with its lock
        self.path = ""  # --path DIR: the same directory, by name
        self.trash = ""  # --trash DIR: where a directory goes before it is removed
        self.notify = ""  # --notify SOCKET: whom to tell that the program was executed (sd_notify(3))
        self.report = -1  # --report FD: where "started" or the reason of a failure goes
        self.reasons = (-1, -1)  # --reasons READER WRITER: a pipe for the reason of a failed start
        self.executed = (-1, -1)  # --executed READER WRITER: a pipe that closes when the program is executed
        self.log_size = 10 << 20  # --log-size BYTES: when a new log is begun
        self.foreground = False  # --foreground: copy the output to 1 and 2 as well
        self.terminal = False  # --terminal: leave 0, 1 and 2 to the program, and write no log
        self.remove = False  # --remove: remove the directory at the end
        self.cgroups: list[str] = []  # --cgroup DIR …: control groups to remove at the end
        self.inherited: list[int] = []  # --inherit FD …: what the sandbox inherits
        self.depth = 2  # --depth N: how many PID namespaces the sandbox nests
        self.init = False  # --init: process 1 of the container is an init
        self.health: list[str] = []  # --health COUNT TEXT …: the arguments of `health.HealthCheck`
        self.sandbox: list[str] = []  # the arguments of the sandbox


def parse_options(arguments: Sequence[str]) -> SupervisorOptions:
    """Return the options in ``arguments``, which `pumice.runtime.pods.start` composes."""
    options = SupervisorOptions()
    remaining = list(reversed(arguments))
    while (option := remaining.pop()) != "--":
        match option.removeprefix("--"):
            case "directory" | "report" | "depth" as name:
                setattr(options, name, int(remaining.pop()))
            case "path" | "trash" | "notify" as name:
                setattr(options, name, remaining.pop())
            case "reasons" | "executed" as name:
                setattr(options, name, (int(remaining.pop()), int(remaining.pop())))
            case "foreground" | "terminal" | "remove" | "init" as name:
                setattr(options, name, True)
            case "log-size":
                options.log_size = int(remaining.pop())
            case "inherit":
                options.inherited.append(int(remaining.pop()))
            case "cgroup":
                options.cgroups.append(remaining.pop())
            case "health":
                options.health = [remaining.pop() for _ in range(int(remaining.pop()))]
            case _:
                raise ValueError(option)
    options.sandbox = list(reversed(remaining))
    return options
