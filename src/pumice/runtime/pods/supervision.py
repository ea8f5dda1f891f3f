"""The command line of a supervisor, the descriptors that it inherits, and its start."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import SandboxError
from pumice.runtime import stage1
from pumice.runtime.launch import execution, machine
from pumice.runtime.launch.engines import choose_engine
from pumice.runtime.launch.errors import raise_reason
from pumice.runtime.launch.model import MACHINE, Start
from pumice.runtime.pods import processes, supervisor
from pumice.runtime.sandbox.argument_codec import encode_arguments
from pumice.runtime.sandbox.descriptors import create_memory_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.runtime.launch.control_groups import ControlGroup
    from pumice.runtime.launch.model import Launch
    from pumice.runtime.metadata.registration import RelaySockets
    from pumice.runtime.pods.pod_store import PodContent
    from pumice.runtime.pods.records import HealthCheck, Pod

_SUPERVISOR = str(Path(supervisor.__file__).with_name("__main__.py"))
_MAX_REPORT = 1 << 16


class Supervision:
    """A supervisor that is to be started. First its apps are added, then it runs."""

    def __init__(
        self,
        content: PodContent,
        directory: Path,
        trash: Path,
        locks: Sequence[int],
        group: ControlGroup,
        *,
        foreground: bool,
        notifies: bool = True,
    ) -> None:
        """``notifies`` says whether the service manager is told when the programs run."""
        self._content = content
        self._directory = directory
        self._locks = list(locks)
        self._group = group
        self._foreground = foreground
        self._report = os.pipe()
        self._closed: list[int] = []  # what only the sandboxes need
        self._retained = [*locks, *group.locks]
        self._apps: list[str] = []
        self._app_count = 0
        self._machine_apps: list[Start] = []
        self.reason_writer = -1
        """The descriptor on which the reason of a failure of the network is written."""
        has_terminal = foreground and os.isatty(0) and os.isatty(1) and not content.pod.apps
        self._pod = [
            *("--pod-directory", str(locks[0]), "--path", str(directory), "--trash", str(trash)),
            *(("--foreground",) if foreground else ("--report", str(self._report[1]))),
            *(
                ("--notify", os.environ["NOTIFY_SOCKET"])
                if foreground and notifies and "NOTIFY_SOCKET" in os.environ
                else ()
            ),
            *(("--terminal",) if has_terminal else ()),
            *(("--remove",) if content.pod.remove else ()),
            *(word for path in group.directories for word in ("--group", path)),
        ]

    def add_machine(
        self, words: list[str], descriptors: tuple[int, ...], launch: Launch, directories: Sequence[str]
    ) -> None:
        """Add the holder, as `add_holder` does, with a virtual machine for the apps that are added next."""
        start, self._machine_apps = machine.open_pod(launch, len(self._content.apps), self._locks[0])
        start = execution.add_descriptors(start, directories, None)
        program = ["--", *start.program]
        self.add_holder([*words, *start.options], (*descriptors, *start.descriptors), program)

    def add_holder(self, words: list[str], descriptors: tuple[int, ...], program: Sequence[str] = ()) -> None:
        """Add the process that holds the namespaces of several apps: its options and descriptors."""
        reasons, executed = self._open_pipes()
        words = [*words, "--status-fd", str(reasons[1]), "--exec-fd", str(executed[1]), "--die-with-parent"]
        words += program
        self._apps += [
            *("--holder", "--reasons", *map(str, reasons), "--executed", *map(str, executed)),
            *self._inherit(descriptors),
            *("--sandbox", str(len(words)), *words),
        ]

    def add_relay(self, relay: RelaySockets) -> None:
        """Add the relay to the metadata service, whose descriptors now belong to this object."""
        self._closed += [relay.channel, *relay.listeners]
        self._pod += [
            *("--relay", str(relay.channel)),
            *(word for listener in relay.listeners for word in ("--relay-listener", str(listener))),
            *("--relay-command", str(len(relay.command)), *relay.command),
        ]

    def add_app(
        self,
        launch: Launch,
        locks: Sequence[int],
        directories: Sequence[str],
        network: execution.Network | None,
    ) -> None:
        """Add the next app, with its control groups, and its network unless that is the holder's."""
        number = self._app_count
        self._app_count += 1
        pod = (self._content.apps or (self._content,))[number].pod
        directory = self._locks[number + 1] if self._content.apps else self._locks[0]
        reasons, executed = self._open_pipes()
        start = choose_engine(launch).start(launch, str(self._directory))
        start = execution.add_descriptors(start, directories, network)
        if launch.kind == MACHINE:
            start = machine.add_listener(start, directory)
        start, machine_options = self._add_to_machine(start, number)
        reports = ("--status-fd", str(reasons[1]), "--exec-fd", str(executed[1]))
        arguments = create_memory_file(encode_arguments((*start.options, *reports)))
        self._retained += [*start.retained, *locks]
        program = ("--args", str(arguments), "--", *start.program)
        self._apps += [
            *("--app", pod.name, "--directory", str(directory)),
            *("--reasons", *map(str, reasons), "--executed", *map(str, executed)),
            *self._inherit((arguments, *start.descriptors)),
            *(word for path in directories for word in ("--cgroup", path)),
            *("--depth", str(processes.namespace_depth(pod))),
            *("--generations", str(processes.count_generations(pod))),
            *_stream_options(pod),
            *machine_options,
            *("--stop-signal", str(processes.parse_signal(pod.stop_signal))),
            *(word for dependency in pod.after for word in ("--after", dependency.app, dependency.condition)),
            *_health_arguments(pod.health_check),
            *("--sandbox", str(len(program)), *program),
        ]

    def _add_to_machine(self, start: Start, number: int) -> tuple[Start, list[str]]:
        """Return the start of an app with what it needs in the machine, and options of the supervisor."""
        if not self._machine_apps:
            return start, []
        go, part = os.pipe(), self._machine_apps[number]
        self._closed.append(go[1])
        options = (*start.options, *part.options, "--guest-go", str(go[0]))
        descriptors = (*start.descriptors, *part.descriptors, go[0])
        words = ["--machine-app", str(number), "--go", *map(str, go)]
        return Start(options, start.program, descriptors, start.retained), words

    def _open_pipes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        reasons, executed = os.pipe(), os.pipe()
        self._closed += [*reasons, *executed]
        if self.reason_writer < 0:
            self.reason_writer = reasons[1]
        return reasons, executed

    def _inherit(self, descriptors: Sequence[int]) -> list[str]:
        self._closed += descriptors
        return [word for number in descriptors for word in ("--inherit", str(number))]

    def run(self) -> int:
        """Become the supervisor, or start it in the background and return 0 when it runs the programs."""
        # In a memory file, because every user can read a command line.
        options = create_memory_file(encode_arguments([*self._pod, *self._apps]))
        self._closed.append(options)
        command = [sys.executable, "-I", "-S", _SUPERVISOR, str(options)]
        for number in (*self._retained, *self._closed):
            os.set_inheritable(number, True)
        if self._foreground:
            os.execve(command[0], command, execution.program_environment())  # noqa: S606 - the supervisor needs no shell
        return self._spawn(command)

    def _spawn(self, command: list[str]) -> int:
        """Start the supervisor in a session of its own; return 0 when it has executed the programs."""
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        os.set_inheritable(self._report[1], True)
        os.posix_spawn(
            *(command[0], command, execution.program_environment()),
            file_actions=[
                *((os.POSIX_SPAWN_DUP2, null, number) for number in (0, 1, 2)),
                (os.POSIX_SPAWN_CLOSE, self._report[0]),
            ],
            setsid=True,
            setsigmask=(),
        )
        for number in (null, self._report[1], *self._closed):
            os.close(number)
        with os.fdopen(self._report[0], "rb") as file:
            text = file.read(_MAX_REPORT).decode(errors="replace")
        if text == "started\n":
            self._group.release()
            return 0
        code, _, reason = text.partition("\n")
        if reason:
            raise_reason(reason, int(code))
        if not code:
            raise SandboxError("the supervisor of the pod ended unexpectedly")
        return 0  # the program has ended already


def _stream_options(pod: Pod) -> tuple[str, ...]:
    """Return the options for the input and the terminal of a program in the background."""
    options = ("--interactive",) if pod.interactive else ()
    if not pod.terminal:
        return options
    if stage1.resolve_name(pod.stage1) in ("runc", "crun", "kvm"):
        return (*options, "--tty", "engine")
    is_first_process = pod.stage1 != "fly" and processes.count_generations(pod) == 0
    return (*options, "--tty", "own", *(("--typed-signals",) if is_first_process else ()))


def _health_arguments(check: HealthCheck | None) -> tuple[str, ...]:
    if check is None:
        return ()
    times = (check.interval, check.timeout, check.start_period, check.retries)
    texts = [*map(str, times), check.kind, *check.command]
    return ("--health", str(len(texts)), *texts)
