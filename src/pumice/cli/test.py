"""``pumice test``: run the tests of an image."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import confirmation, output, progress_modes, results
from pumice.cli.image_access import reading
from pumice.cli.parsing import arguments as command_line
from pumice.cli.pods import pod_arguments
from pumice.cli.recipes import recipe_or_image
from pumice.errors import UsageError
from pumice.image_tests.outcome import Outcome

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from pumice.cli.parsing.arguments import Parser
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.recipe.image_tests import ImageTest
    from pumice.recipe.model import Recipe
    from pumice.store.home import Home

_EPILOG = f"""A recipe is built first if it changed, and its own tests are run. Each test runs in a fresh
container without network. The exit code is 1 if a test fails.

{reading.REFERENCES}"""


_DEFAULT_JOBS = 8
_MAX_JOBS = 64
_MAX_LINES = 20
"""The lines of a program's output that are shown."""


class TestReport(msgspec.Struct, frozen=True, kw_only=True):
    """The tests of an image for one platform, in their order."""

    image: str
    digest: str
    platform: str
    passed: int
    failed: int
    tests: tuple[Outcome, ...]


def parser() -> Parser:
    """Return the parser of ``pumice test``."""
    verb_parser = command_line.make_parser(
        "test",
        "Run the tests of an image.",
        epilog=_EPILOG,
        examples=("pumice test recipe.yaml", "pumice test example.com/hello:1.0 --file tests.yaml"),
    )
    recipe_or_image.add_target(verb_parser, "test")
    _add_test_options(verb_parser)
    results.add_format_options(verb_parser, "test", default="text", example="Failed")
    _add_container_options(verb_parser.add_argument_group("containers"))
    recipe_or_image.add_options(verb_parser)
    return verb_parser


def _add_test_options(verb_parser: Parser) -> None:
    verb_parser.add_argument(
        "--file",
        action="append",
        default=[],
        metavar="FILE",
        help="run the tests in FILE as well: 'tests', or container-structure-test (repeatable)",
    )
    verb_parser.add_argument(
        "-k",
        dest="patterns",
        action="append",
        default=[],
        metavar="PATTERN",
        help="run only tests whose name contains PATTERN, in which * matches anything (repeatable)",
    )
    verb_parser.add_argument(
        "--junit", metavar="FILE", type=Path, help="write the outcome to FILE as well, as JUnit XML"
    )


def _add_container_options(group: command_line.OptionGroup) -> None:
    pod_arguments.add_stage1_option(group)
    recipe_or_image.add_run_options(
        group, network_of="tests that do not set one", limited="tests that do not set one"
    )
    group.add_argument(
        "--jobs",
        type=int,
        default=min(_DEFAULT_JOBS, len(os.sched_getaffinity(0))),
        metavar="N",
        help="run up to N programs at a time; those on the network of the host one by one "
        f"(default: the number of processors, at most {_DEFAULT_JOBS})",
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    if options.timeout < 1:
        raise UsageError("--timeout must be at least 1", hint="for example: --timeout 60")
    if not 1 <= options.jobs <= _MAX_JOBS:
        raise UsageError(f"--jobs must be from 1 to {_MAX_JOBS}", hint="for example: --jobs 4")
    from pumice.image.output import check_file, write_file
    from pumice.image_tests import junit
    from pumice.store.home import Home, locate

    progress = progress_modes.make_progress(options.progress)
    options.recipe_path = recipe_or_image.find_recipe(options.target)
    recipe = recipe_or_image.load_recipe(options)
    tests = _collect_tests(options, recipe)
    if options.junit:
        check_file(options.junit)
    with (
        Home(locate(os.environ), progress=progress) as home,
        recipe_or_image.open_image(options, recipe, home, progress) as image,
    ):
        report = _run(options, tests, image, home, progress)
    if options.junit:
        write_file(options.junit, junit.format_junit(report.image, report.tests).encode())
    results.write_result(report, options.format, lambda: _format_summary(report))
    return 1 if report.failed else 0


def _collect_tests(options: argparse.Namespace, recipe: Recipe | None) -> tuple[ImageTest, ...]:
    from pumice.image_tests.suite import select_tests
    from pumice.recipe.image_test_files import read_tests

    tests = [*(recipe.tests if recipe else ()), *(test for file in options.file for test in read_tests(file))]
    if not tests:
        hint = "add 'tests' to the recipe, or pass --file FILE" if recipe else "pass --file FILE"
        raise UsageError(f"{options.recipe_path or options.target} has no tests", hint=hint)
    selected = select_tests(tests, options.patterns)
    if not selected:
        names = ", ".join(repr(test.title()) for test in tests[:5])
        raise UsageError(
            f"no test has a name with {' or '.join(map(repr, options.patterns))}", hint=f"there are {names}"
        )
    return selected


def _run(
    options: argparse.Namespace, tests: Sequence[ImageTest], image: Image, home: Home, progress: Progress
) -> TestReport:
    from pumice.formats import platforms
    from pumice.image_tests import suite
    from pumice.image_tests.programs import RunSettings

    request = recipe_or_image.admission_request(options, image)
    suite.admit_image(
        *(tests, image, home, request, progress),
        insecure="image" in options.insecure_options,
        confirm=confirmation.unsigned_image_question(),
    )
    platform_image = reading.select_platform(image, options.platform)
    ((_, platform),) = platform_image.members()
    settings = RunSettings(
        isolation=options.stage1, network=options.network, timeout=options.timeout, jobs=options.jobs
    )
    outcomes = []
    for outcome in suite.run_tests(tests, platform_image, home, settings, progress):
        outcomes.append(outcome)
        if not options.format.is_for_programs:
            sys.stdout.write("".join(f"{line}\n" for line in _format_outcome(outcome)))
            sys.stdout.flush()
    failed = sum(bool(outcome.failures) for outcome in outcomes)
    return TestReport(
        image=options.target,
        digest=platform_image.root.digest,
        platform=platforms.format_platform(platform),
        passed=len(outcomes) - failed,
        failed=failed,
        tests=tuple(outcomes),
    )


def _format_outcome(outcome: Outcome) -> Iterator[str]:
    place = f" ({outcome.where})" if outcome.failures else ""
    yield output.printable_line(f"{'FAIL' if outcome.failures else 'ok  '}  {outcome.test}{place}")
    for failure in outcome.failures:
        yield f"      {output.printable_line(failure.subject)}"
        yield f"        expected: {output.printable_line(failure.expected)}"
        yield from _format_text("actual:  ", failure.actual)
    subjects = {failure.subject for failure in outcome.failures}
    for name, text in (("stdout", outcome.stdout), ("stderr", outcome.stderr)):
        if text and name not in subjects:
            yield from _format_text(f"{name}:  ", text)


def _format_text(label: str, text: str) -> Iterator[str]:
    """Yield a text in one line if it fits, else its last lines below the label."""
    lines = text.splitlines()
    if len(lines) <= 1:
        yield f"        {label} {output.printable_line(''.join(lines) or '(empty)')}"
        return
    yield f"        {label.rstrip()}"
    if len(lines) > _MAX_LINES:
        yield f"          … {len(lines) - _MAX_LINES} lines …"
    yield from (f"          {output.printable_line(line)}" for line in lines[-_MAX_LINES:])


def _format_summary(report: TestReport) -> str:
    count = report.passed + report.failed
    return f"{count} test{'s' * (count != 1)}: {report.passed} passed, {report.failed} failed\n"
