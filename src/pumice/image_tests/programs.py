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
from pumice.runtime import background, prepared_tree, run, stage1
from pumice.runtime.process import Overrides
from pumice.runtime.stage1.external import NotRunnableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.image.model import Image
    from pumice.recipe.image_tests import ImageTest, Network
    from pumice.runtime.background import BackgroundContainer
    from pumice.store.home import Home

MAX_OUTPUT = 1 << 20
_STOP_SECONDS = 10.0
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How programs are run; ``isolation`` is one of `stage1.NAMES`, ``timeout`` in seconds."""

    isolation: str = "builtin"
    network: Network = "none"
    timeout: int = 60


class ProgramResult(msgspec.Struct, kw_only=True):
    """What the program of a test did; ``exit_code`` is None if it was killed."""

    failures: list[Failure]
    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""


def run_program(test: ImageTest, image: Image, home: Home, settings: RunSettings) -> ProgramResult:
    """Run the program of a test, and return what is wrong with it. The image was admitted before."""
    result = ProgramResult(failures=[])
    deadline = time.monotonic() + (test.timeout or settings.timeout)
    seconds = test.timeout or settings.timeout
    container: BackgroundContainer | None = None
    if test.is_server and _network(test, settings) == "host":
        used_port = connections.find_used_port(test, image.config().config)
        if used_port is not None:
            actual = "in use by another program; use 'network: none'"
            result.failures.append(Failure(subject=f"port {used_port}", expected="free", actual=actual))
            return result
    try:
        with _start(test, image, home, settings) as container:
            if test.is_server:
                result.failures += connections.check_server(
                    test, container, image.config().config, _network(test, settings), deadline
                )
                result.exit_code = _stop(container, image)
            else:
                result.exit_code = container.wait(deadline)
                if result.exit_code is None:
                    expected = f"ends within {seconds} seconds"
                    result.failures.append(
                        Failure(subject="program", expected=expected, actual="still running")
                    )
    except NotRunnableError as error:
        result.exit_code = error.exit_code
        result.failures += [] if test.exit_code == error.exit_code else [_cannot_run(error)]
    except (SandboxError, ImageError) as error:
        result.failures.append(_cannot_run(error))
    if container is not None:
        _check_outputs(test, container, result)
    return result


def _cannot_run(error: SandboxError | ImageError) -> Failure:
    return Failure(subject="program", expected="can be run", actual=error.message)


def _network(test: ImageTest, settings: RunSettings) -> Network:
    return test.network or settings.network


@contextmanager
def _start(test: ImageTest, image: Image, home: Home, settings: RunSettings) -> Iterator[BackgroundContainer]:
    config = image.config().config
    variables = _expand(test.environment, config.env) if test.expands_variables else test.environment
    overrides = Overrides(
        arguments=test.command[1:] if test.command else test.arguments,
        entrypoint=test.command[0] if test.command else None,
        user=test.user or None,
        directory=test.directory or None,
        environment=tuple(f"{name}={value}" for name, value in variables.items()),
    )
    with prepared_tree.hold(image, home, Silent()) as tree:
        container = run.plan_container(
            config, tree, overrides, (), network=_network(test, settings), init=bool(test.setup)
        )
        container = msgspec.structs.replace(container, setup=test.setup)
        with background.start_container(
            container,
            stage1.choose(settings.isolation),
            tree.root.parent,
            stdin=test.input.encode(),
            limit=MAX_OUTPUT,
        ) as started:
            yield started


def _expand(environment: dict[str, str], image_environment: tuple[str, ...]) -> dict[str, str]:
    """Return variables in which ``$NAME`` is replaced by the value in the image."""
    values = dict(variable.partition("=")[::2] for variable in image_environment)

    def value(match: re.Match[str]) -> str:
        return values.get(match[1] or match[2], "")

    return {name: _VARIABLE.sub(value, text) for name, text in environment.items()}


def _stop(container: BackgroundContainer, image: Image) -> int | None:
    name = image.config().config.stop_signal or "SIGTERM"
    number = int(name) if name.isdigit() else getattr(signal, name, None)
    return container.stop(int(number or signal.SIGTERM), _STOP_SECONDS)


def _check_outputs(test: ImageTest, container: BackgroundContainer, result: ProgramResult) -> None:
    result.stdout = container.stdout.finish().decode(errors="replace")
    result.stderr = container.stderr.finish().decode(errors="replace")
    expected_code = test.exit_code if test.is_server else test.exit_code or 0
    if expected_code is not None and result.exit_code is not None and result.exit_code != expected_code:
        result.failures.append(
            Failure(subject="exit code", expected=str(expected_code), actual=str(result.exit_code))
        )
    for name, stream in (("stdout", container.stdout), ("stderr", container.stderr)):
        if stream.is_truncated:
            expected = f"at most {MAX_OUTPUT >> 20} MiB"
            result.failures.append(Failure(subject=name, expected=expected, actual="more"))
    result.failures += check_text("stdout", result.stdout, test.stdout)
    result.failures += check_text("stderr", result.stderr, test.stderr)
