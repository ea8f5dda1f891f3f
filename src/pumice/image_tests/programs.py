"""Runs the program of a test in a fresh container, and checks its output or its ports."""

from __future__ import annotations

import re
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import ImageError, SandboxError
from pumice.image_tests import connections
from pumice.image_tests.matching import check_text
from pumice.image_tests.outcome import Failure
from pumice.progress import Silent
from pumice.runtime import background, id_maps, pod_plan, prepared_tree, stage1
from pumice.runtime.background import BackgroundContainer
from pumice.runtime.container import IdMaps
from pumice.runtime.launch.errors import NotRunnableError
from pumice.runtime.process import Overrides
from pumice.runtime.run_options import AppOptions, PodOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.image.model import Image
    from pumice.recipe.image_tests import ImageTest, Network
    from pumice.runtime.background import CapturedStream, RunningContainers
    from pumice.store.home import Home

MAX_OUTPUT = 1 << 20
_STOP_SECONDS = 10.0
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How programs are run; ``isolation`` is one of `stage1.NAMES`, ``timeout`` in seconds.

    ``jobs`` is the greatest number of containers at a time. ``tracer`` watches each program, as in
    `execution.spawn_sandbox`.
    """

    isolation: str = "builtin"
    network: Network = "none"
    timeout: int = 60
    jobs: int = 1
    tracer: tuple[str, ...] = ()


class ProgramRun(msgspec.Struct, kw_only=True):
    """A program that was run: what is wrong so far, its container, None if it could not be started."""

    failures: list[Failure]
    container: BackgroundContainer | None = None
    has_ended: bool = False
    seconds: float = 0.0


class ProgramResult(msgspec.Struct, kw_only=True):
    """What is wrong with the program of a test, and what it wrote."""

    failures: list[Failure]
    stdout: str = ""
    stderr: str = ""


def can_run_beside_others(test: ImageTest, settings: RunSettings) -> bool:
    """Whether the program of a test may run while those of other tests do, in another thread.

    Ports of this machine are shared. Regular expressions for what a server answers need the main thread,
    because only there a slow one can be interrupted; `judge_program` compares all other output.
    """
    rules = [check.receive for check in test.tcp] + [check.body for check in test.http]
    has_patterns = any(rule is not None and (rule.matches or rule.not_matches) for rule in rules)
    return test.runs_program and _network(test, settings) == "none" and not has_patterns


def run_program(
    test: ImageTest, image: Image, home: Home, settings: RunSettings, running: RunningContainers
) -> ProgramRun:
    """Run the program of a test, without comparing its output. The image was admitted before."""
    start = time.monotonic()
    obstacle = _find_obstacle(test, image, settings)
    if obstacle:
        return ProgramRun(failures=[obstacle])
    result = ProgramRun(failures=[])
    try:
        with _start(test, image, home, settings, running) as result.container:
            result.failures += _observe(test, image, result.container, settings)
        result.has_ended = True
    except NotRunnableError as error:
        if test.exit_code != error.exit_code:
            result.failures.append(_cannot_run(error))
    except (SandboxError, ImageError) as error:
        result.failures.append(_cannot_run(error))
    result.seconds = time.monotonic() - start
    return result


def judge_program(test: ImageTest, program_run: ProgramRun) -> ProgramResult:
    """Return what is wrong with a program that was run, its output included; for the main thread."""
    result = ProgramResult(failures=program_run.failures)
    container = program_run.container
    if container is not None:
        if program_run.has_ended:
            result.failures += _check_outputs(test, container)
        result.stdout, result.stderr = _decode(container.stdout), _decode(container.stderr)
    return result


def _find_obstacle(test: ImageTest, image: Image, settings: RunSettings) -> Failure | None:
    """Return why the test cannot be run as the settings say."""
    if test.setup and settings.isolation != "builtin":
        return Failure(subject="setup", expected="can be run", actual="only --stage1 builtin can run it")
    if test.is_server and _network(test, settings) == "host":
        used_port = connections.find_used_port(test, image.config().config)
        if used_port is not None:
            actual = "in use by another program; use 'network: none'"
            return Failure(subject=f"port {used_port}", expected="free", actual=actual)
    return None


def _observe(
    test: ImageTest, image: Image, container: BackgroundContainer, settings: RunSettings
) -> Iterator[Failure]:
    """Yield what the running program does wrong, until it ends or is stopped."""
    seconds = test.timeout or settings.timeout
    deadline = time.monotonic() + seconds
    if not test.is_server:
        code = container.wait(deadline)
        if code is None:
            yield Failure(subject="program", expected=f"ends within {seconds} s", actual="still running")
        elif code != (test.exit_code or 0) and not container.wrote_too_much:
            yield Failure(subject="exit code", expected=str(test.exit_code or 0), actual=str(code))
        return
    config = image.config().config
    yield from connections.check_server(test, container, config, _network(test, settings), deadline)
    code = container.stop(_signal_number(config.stop_signal), _STOP_SECONDS)
    if test.exit_code not in (None, code):
        actual = f"did not end within {_STOP_SECONDS:.0f} s of its stop signal" if code is None else str(code)
        yield Failure(subject="exit code", expected=str(test.exit_code), actual=actual)


def _signal_number(name: str) -> int:
    """Return the number of an image's stop signal, that of SIGTERM for a name that does not exist."""
    if name.isdigit() and 1 <= int(name[:3]) < signal.NSIG:
        return int(name[:3])
    names = {member.name: int(member) for member in signal.Signals}
    return names.get(name if name.startswith("SIG") else f"SIG{name}", int(signal.SIGTERM))


def _cannot_run(error: SandboxError | ImageError) -> Failure:
    return Failure(subject="program", expected="can be run", actual=error.message)


def _network(test: ImageTest, settings: RunSettings) -> Network:
    return test.network or settings.network


@contextmanager
def _start(
    test: ImageTest, image: Image, home: Home, settings: RunSettings, running: RunningContainers
) -> Iterator[BackgroundContainer]:
    config = image.config().config
    variables = _expand(test.environment, config.env) if test.expands_variables else test.environment
    overrides = Overrides(
        arguments=test.command[1:] if test.command else test.arguments,
        entrypoint=test.command[0] if test.command else None,
        user=test.user or None,
        directory=test.directory or None,
        environment=tuple(f"{name}={value}" for name, value in variables.items()),
    )
    app = AppOptions(process=overrides, init=bool(test.setup), setup=test.setup)
    with prepared_tree.hold(image, home, Silent()) as tree:
        container = pod_plan.plan_container(config, tree, app, PodOptions(), network=_network(test, settings))
        if settings.tracer and id_maps.is_ordinary_user():
            # A process that is traced gets no privileges from newuidmap, so there is only one id.
            container = msgspec.structs.replace(container, maps=IdMaps())
        start = background.start_container(
            container,
            stage1.choose(settings.isolation),
            tree.root.parent,
            stdin=test.input.encode(),
            limit=MAX_OUTPUT,
            tracer=settings.tracer,
        )
        with running.start(start) as started:
            yield started


def _expand(environment: dict[str, str], image_environment: tuple[str, ...]) -> dict[str, str]:
    """Return variables in which ``$NAME`` is replaced by the value in the image."""
    values = dict(variable.partition("=")[::2] for variable in image_environment)

    def value(match: re.Match[str]) -> str:
        return values.get(match[1] or match[2], "")

    return {name: _VARIABLE.sub(value, text) for name, text in environment.items()}


def _check_outputs(test: ImageTest, container: BackgroundContainer) -> Iterator[Failure]:
    for name, stream, rule in (
        ("stdout", container.stdout, test.stdout),
        ("stderr", container.stderr, test.stderr),
    ):
        if stream.is_truncated:
            yield Failure(subject=name, expected=f"at most {MAX_OUTPUT >> 20} MiB", actual="more")
        else:
            yield from check_text(name, _decode(stream), rule)


def _decode(stream: CapturedStream) -> str:
    return stream.finish().decode(errors="replace")
