"""The options of the supervisor's command line."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class AppOptions:
    """The options of one app; a descriptor is one that the supervisor inherits."""

    def __init__(self, name: str) -> None:
        self.name = name  # --app NAME: the options that follow are those of this app
        self.directory = (
            -1
        )  # --directory FD: the app's directory, with its lock; that of the only app is the pod's
        self.reasons = (-1, -1)  # --reasons READER WRITER: a pipe for the reason of a failed start
        self.executed = (-1, -1)  # --executed READER WRITER: a pipe that closes when the program is executed
        self.cgroups: list[str] = []  # --cgroup DIR …: its control groups
        self.inherited: list[int] = []  # --inherit FD …: what the sandbox inherits
        self.depth = 2  # --depth N: how many PID namespaces the sandbox nests
        self.generations = 0  # --generations N: how many processes are between the first and the program
        self.interactive = False  # --interactive: keep its input open for clients
        # --tty own|engine: a terminal of its own, which the engine passes on to another one
        self.tty = ""
        self.typed_signals = False  # --typed-signals: tell the sandbox which keys were typed there
        # --machine-app N --go READER WRITER: it is this app in the machine of the pod, where a pipe starts it
        self.machine_app = -1
        self.go = (-1, -1)
        self.health: list[str] = []  # --health COUNT TEXT …: the arguments of `health.HealthCheck`
        self.after: list[tuple[str, str]] = []  # --after NAME started|healthy|succeeded …: whom it waits for
        self.stop_signal = 15  # --stop-signal N
        self.sandbox: list[str] = []  # --sandbox COUNT WORD …: the arguments of the sandbox


class RelayOptions:
    """The relay to the metadata service."""

    def __init__(self, channel: int) -> None:
        self.channel = channel  # --relay FD: a socket over which one more listening socket comes, or nothing
        self.listeners: list[int] = []  # --relay-listener FD …: its listening sockets
        # --relay-command COUNT WORD …: its command, in which the listeners are inserted before "--"
        self.command: list[str] = []


class SupervisorOptions:
    """The options of the pod."""

    def __init__(self) -> None:
        self.directory = -1  # --pod-directory FD: the pod's directory, with its lock
        self.path = ""  # --path DIR: the same directory, by name
        self.trash = ""  # --trash DIR: where a directory goes before it is removed
        self.notify = ""  # --notify SOCKET: whom to tell that the program was executed (sd_notify(3))
        self.report = -1  # --report FD: where "started" or the reason of a failure goes
        self.log_size = 10 << 20  # --log-size BYTES: when a new log is begun
        self.foreground = False  # --foreground: copy the output to 1 and 2 as well
        self.terminal = False  # --terminal: leave 0, 1 and 2 to the program, and write no log
        self.remove = False  # --remove: remove the directory at the end
        self.groups: list[str] = []  # --group DIR …: control groups to remove at the end
        # --holder: an app that holds the namespaces of the others; --app NAME: one that runs a program
        self.holder: AppOptions | None = None
        self.apps: list[AppOptions] = []
        self.relay: RelayOptions | None = None


_POD_NUMBERS = {"pod-directory": "directory", "report": "report", "log-size": "log_size"}


def parse_options(arguments: Sequence[str]) -> SupervisorOptions:
    """Return the options in ``arguments``, which `pumice.runtime.pods.launch` composes."""
    options = SupervisorOptions()
    app = AppOptions("")
    remaining = list(reversed(arguments))
    while remaining:
        name = remaining.pop().removeprefix("--")
        match name:
            case "pod-directory" | "report" | "log-size":
                setattr(options, _POD_NUMBERS[name], int(remaining.pop()))
            case "path" | "trash" | "notify":
                setattr(options, name, remaining.pop())
            case "foreground" | "terminal" | "remove":
                setattr(options, name, True)
            case "group":
                options.groups.append(remaining.pop())
            case "relay":
                options.relay = RelayOptions(int(remaining.pop()))
            case "relay-listener" | "relay-command":
                _parse_relay_option(options.relay, name, remaining.pop)
            case "holder":
                app = options.holder = AppOptions("")
            case "app":
                app = AppOptions(remaining.pop())
                options.apps.append(app)
            case _:
                _parse_app_option(app, name, remaining.pop)
    return options


def _parse_relay_option(relay: RelayOptions | None, name: str, next_word: Callable[[], str]) -> None:
    if relay is None:
        raise ValueError(name)
    number = int(next_word())
    if name == "relay-listener":
        relay.listeners.append(number)
    else:
        relay.command = [next_word() for _ in range(number)]


def _parse_app_option(app: AppOptions, name: str, next_word: Callable[[], str]) -> None:
    match name:
        case "directory" | "depth" | "generations" | "machine-app":
            setattr(app, name.replace("-", "_"), int(next_word()))
        case "stop-signal":
            app.stop_signal = int(next_word())
        case "reasons" | "executed" | "go":
            setattr(app, name, (int(next_word()), int(next_word())))
        case "interactive" | "typed-signals":
            setattr(app, name.replace("-", "_"), True)
        case "tty":
            app.tty = next_word()
        case "inherit":
            app.inherited.append(int(next_word()))
        case "cgroup":
            app.cgroups.append(next_word())
        case "after":
            app.after.append((next_word(), next_word()))
        case "health" | "sandbox":
            setattr(app, name, [next_word() for _ in range(int(next_word()))])
        case _:
            raise ValueError(name)
