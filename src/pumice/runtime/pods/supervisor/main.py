"""The supervisor's entry point: start the apps of a pod, and watch them until all have ended."""

from __future__ import annotations

import os
import time

from pumice.runtime.pods.supervisor import groups, notification, pod_files
from pumice.runtime.pods.supervisor.app import App
from pumice.runtime.pods.supervisor.holder import Holder
from pumice.runtime.pods.supervisor.options import SupervisorOptions, parse_options
from pumice.runtime.pods.supervisor.output import Output
from pumice.runtime.pods.supervisor.watch import Watch
from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.argument_codec import decode_arguments
from pumice.runtime.sandbox.descriptors import write_all
from pumice.runtime.sandbox.signals import FORWARDED_SIGNALS, block_signals, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.runtime.pods.supervisor.relay_process import RelayProcess


def main(arguments: Sequence[str]) -> int:
    """Run the pod whose options are in the memory file ``arguments[0]``; return its exit code."""
    with open(int(arguments[0]), "rb") as file:
        options = parse_options(decode_arguments(file.read()))
    block_signals()
    for descriptor in {options.directory, options.report, *(app.directory for app in options.apps)} - {-1}:
        os.set_inheritable(descriptor, False)
    return _Supervisor(options).run()


_UNMET = {"started": "has not started", "healthy": "is not healthy", "succeeded": "has not succeeded"}
"""What is said of an app that will not meet the condition of another."""


class _Supervisor:
    """The apps of a pod, and what they wait for."""

    def __init__(self, options: SupervisorOptions) -> None:
        self._options = options
        # Several apps have directories of their own.
        self._is_pod_of_one = options.apps[0].directory == options.directory
        self._watch = Watch()
        self._holder = Holder(options.holder, self._watch) if options.holder else None
        self._apps = {
            app.name: App(app, options, self._watch, self._output(app.name)) for app in options.apps
        }
        self._relay = self._prepare_relay()
        self._has_started = False
        self._is_stopping = False
        self._first_failure: App | None = None
        self._signals = syscalls.open_signal_descriptor(FORWARDED_SIGNALS)
        self._watch.add(self._signals, self._handle_signal)

    def _output(self, name: str) -> Output | None:
        if not self._options.foreground:
            return None
        width = max(len(app.name) for app in self._options.apps)
        return Output("" if self._is_pod_of_one else f"{name:<{width}} | ")

    def _prepare_relay(self) -> RelayProcess | None:
        if self._options.relay is None:
            return None
        from pumice.runtime.pods.supervisor.relay_process import RelayProcess

        return RelayProcess(self._options.relay, self._watch)

    def run(self) -> int:
        """Run until all apps have ended, and return the exit code of the pod."""
        while True:
            self._start_apps()
            self._notice_changes()
            if all(app.code is not None for app in self._apps.values()):
                return self._finish()
            self._watch.wait(self._milliseconds())
            for app in self._apps.values():
                app.check_health()
            if self._relay:
                self._relay.advance()

    def _milliseconds(self) -> float | None:
        """Return how long nothing is to be done; None is for ever."""
        due = [app.due for app in self._apps.values() if app.due is not None and app.code is None]
        if self._relay and self._relay.due is not None:
            due.append(self._relay.due)
        return max(0.0, min(due) - time.monotonic()) * 1000 if due else None

    def _start_apps(self) -> None:
        """Start the apps that wait for nothing any more, and cancel those that wait in vain."""
        if self._holder and self._holder.failure:
            self._cancel_all(self._holder.failure)
        elif self._holder and not (self._holder.is_ready and self._prepare_apps(self._holder)):
            return
        has_changed = True
        while has_changed:
            has_changed = False
            for app in self._apps.values():
                if app.is_waiting and (obstacle := self._find_obstacle(app)) is not None:
                    has_changed = True
                    if obstacle:
                        app.cancel(obstacle)
                    elif self._holder:
                        descriptor = self._holder.open()
                        app.start(["--pod", str(descriptor)], descriptor)
                        os.close(descriptor)
                    else:
                        app.start([])

    def _prepare_apps(self, holder: Holder) -> bool:
        """Let the apps in a machine share their files with it; return whether all can start, or be cancelled.

        The machine does not start if one of them cannot.
        """
        apps = self._apps.values()
        for app in apps:
            if app.needs_preparation and not self._is_stopping:
                descriptor = holder.open()
                app.prepare(["--pod", str(descriptor)], descriptor)
                os.close(descriptor)
        if any(app.cannot_run for app in apps):
            self._stop()
        return self._is_stopping or all(app.is_prepared or app.code is not None for app in apps)

    def _find_obstacle(self, app: App) -> str | None:
        """Return why an app cannot start, ``""`` if it can, and None if it has to wait."""
        if self._is_stopping:
            return "the pod was stopped before it started"
        is_waiting = False
        for name, condition in app.options.after:
            answer = self._apps[name].satisfies(condition)
            if answer is False:
                return f"the app {name}, which it depends on, {_UNMET[condition]}"
            is_waiting |= answer is None
        return None if is_waiting else ""

    def _cancel_all(self, reason: str) -> None:
        for app in self._apps.values():
            if app.is_waiting:
                app.cancel(reason, is_failure=True)

    def _notice_changes(self) -> None:
        """Record the start of the pod, and which app failed first."""
        apps = self._apps.values()
        for app in apps:
            if app.code and self._first_failure is None and not app.was_cancelled:
                self._first_failure = app
        if not self._is_pod_of_one and not self._has_started and any(app.has_executed for app in apps):
            has_machine = self._holder and any(app.options.machine_app >= 0 for app in apps)
            sandbox = self._holder.sandbox if self._holder and has_machine else os.getpid()
            pod_files.write_start(self._options.directory, sandbox)
            self._has_started = True
        if any(app.cannot_run for app in apps):
            self._stop()  # that is a mistake, and no app has failed
        elif all(app.is_settled for app in apps):
            self._report_start()

    def _report_start(self) -> None:
        """Tell whoever waits that all programs were executed, once."""
        if self._options.notify:
            notification.notify(self._options.notify, "READY=1")
            self._options.notify = ""
        if self._options.report >= 0:
            write_all(self._options.report, b"started\n")
            os.close(self._options.report)
            self._options.report = -1

    def _handle_signal(self, _: int) -> None:
        number, code = syscalls.read_signal(self._signals)
        # The signals of a terminal go to the whole foreground group, which includes the sandboxes.
        was_typed = code > 0 and self._options.foreground
        if not self._is_pod_of_one and number == signal.SIGTERM:
            self._stop()
        elif not was_typed:
            for app in self._apps.values():
                app.send_signal(number)
        if number in (signal.SIGINT, signal.SIGQUIT):
            self._is_stopping = True

    def _stop(self) -> None:
        """Send each program its stop signal, and start no more."""
        if not self._is_stopping:
            self._is_stopping = True
            for app in self._apps.values():
                app.send_signal(app.options.stop_signal)

    def _finish(self) -> int:
        """Record how the pod ended, and tell whoever waits for its start.

        Remove the pod if that was asked for, or if a program could not be executed.
        """
        options = self._options
        if self._relay:
            self._relay.end()
        unexecuted = next((app for app in self._apps.values() if app.cannot_run), None)
        cancelled = next((app for app in self._apps.values() if app.was_cancelled), None)
        culprit = unexecuted or self._first_failure or cancelled
        code, reason = (culprit.code or 0, culprit.reason) if culprit else (0, "")
        if reason and culprit and not self._is_pod_of_one:
            ended = self._holder.read_reason() if self._holder and culprit.was_released else ""
            reason = ended or f"{culprit.options.name}: {reason}"
        if self._holder:
            self._holder.end()
        if not self._is_pod_of_one:
            pod_files.write_end(options.directory, code, reason)
        if options.report >= 0:
            write_all(options.report, f"{code}\n{reason}".encode(errors="replace"))
            os.close(options.report)
        if reason and options.foreground:
            write_all(2, f"error: {reason}\n".encode(errors="replace"))
        groups.remove_groups(options.groups)
        if options.remove or unexecuted:
            pod_files.remove_directory(options.path, options.trash)
        return code
