"""``pumice slim``: show what an image does not need, and write a recipe that goes without it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import confirmation, output, progress_modes, results
from pumice.cli.image_access import reading
from pumice.cli.parsing import arguments as command_line
from pumice.cli.recipes import recipe_or_image
from pumice.errors import ImageError, UsageError
from pumice.recipe.image_tests import ImageTest
from pumice.slimming.plan import SlimPackage, SlimPattern
from pumice.slimming.size_tree import SizedDirectory, make_size_tree
from pumice.terminal import format_count

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from pumice.assembly.slim import SlimmedImage
    from pumice.cli.parsing.arguments import Parser
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.recipe.model import Recipe
    from pumice.store.home import Home

_EPILOG = f"""A file is kept if a command of the image, one of its tests or a traced run reaches it:
libraries that a program is linked with, files that it names, modules of an interpreter. All other files are
listed by directory. --output writes a recipe that extends RECIPE and leaves them out. Its image is built
first, and the tests of the recipe and each --verify must pass; otherwise nothing is written.

{reading.REFERENCES}"""
_MIN_SHARE = 200
"""A directory with less than this part of the size is not shown."""


class SlimReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an image can go without. Sizes are bytes of files, and of layers for ``compressed``.

    ``packages`` go as a whole, ``patterns`` are parts of other packages. ``unreached`` is the tree of both,
    and of files for which a pattern is not worth it. ``reached`` has each path that stays with its reason.
    ``slim_digest`` and ``slim_compressed`` are of the smaller image, if it was built.
    """

    image: str
    digest: str
    platform: str
    size: int
    compressed: int
    saved: int
    packages: tuple[SlimPackage, ...]
    patterns: tuple[SlimPattern, ...]
    unreached: SizedDirectory
    reached: dict[str, str]
    verified: int = 0
    slim_digest: str | None = None
    slim_compressed: int | None = None


def parser() -> Parser:
    """Return the parser of ``pumice slim``."""
    verb_parser = command_line.make_parser(
        "slim",
        "Show what an image does not need, and write a smaller recipe.",
        epilog=_EPILOG,
        examples=(
            "pumice slim recipe.yaml",
            "pumice slim recipe.yaml --trace 'redis-server --version' --output slim.yaml",
            "pumice slim example.com/hello:1.0 --depth 5",
        ),
    )
    recipe_or_image.add_target(verb_parser, "examine")
    verb_parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        help="write the smaller recipe to FILE if its image passes the tests",
    )
    verb_parser.add_argument(
        "--depth", type=int, default=4, metavar="N", help="levels of directories to show (default: 4)"
    )
    verb_parser.add_argument(
        "--why", metavar="PATH", action="append", default=[], help="explain why PATH is kept (repeatable)"
    )
    results.add_format_options(verb_parser, "slim", default="text", example="Saved")
    _add_run_options(verb_parser.add_argument_group("commands"))
    recipe_or_image.add_options(verb_parser)
    return verb_parser


def _add_run_options(group: command_line.OptionGroup) -> None:
    group.add_argument(
        "--trace",
        metavar="CMD",
        action="append",
        default=[],
        help="run CMD in the image with strace, and keep what it uses (repeatable)",
    )
    group.add_argument(
        "--trace-tests", action="store_true", help="run the tests of the recipe with strace as well"
    )
    group.add_argument(
        "--verify",
        metavar="CMD",
        action="append",
        default=[],
        help="require that CMD succeeds in the smaller image (repeatable)",
    )
    recipe_or_image.add_run_options(
        group, network_of="the commands", limited="a command; a traced one is stopped after it"
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    _check(options)
    from pumice.store.home import Home, locate

    progress = progress_modes.make_progress(options.progress)
    options.recipe_path = recipe_or_image.find_recipe(options.target)
    recipe = recipe_or_image.load_recipe(options)
    if options.output:
        from pumice.image.output import check_file

        check_file(options.output)
    if recipe is None and options.verify and not options.output:
        raise UsageError("--verify needs a recipe, or --output", hint="add --output FILE")
    with (
        Home(locate(os.environ), progress=progress) as home,
        recipe_or_image.open_image(options, recipe, home, progress) as image,
    ):
        report = _slim(options, recipe, image, home, progress)
    results.write_result(report, options.format, lambda: _format_report(report, options))
    return 0


def _check(options: argparse.Namespace) -> None:
    if options.timeout < 1:
        raise UsageError("--timeout must be at least 1", hint="for example: --timeout 60")
    if not 0 <= options.depth <= 50:
        raise UsageError("--depth must be from 0 to 50", hint="for example: --depth 4")
    for text in (*options.trace, *options.verify):
        _read_command(text)


def _read_command(text: str) -> ImageTest:
    """Return the test that a command of the command line succeeds."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"cannot read the command {text[:100]!r}: {str(error).lower()}") from None
    if not words:
        raise UsageError("the command is empty", hint="for example: --trace 'python3 -V'")
    return ImageTest(name=text, command=words)


def _slim(
    options: argparse.Namespace, recipe: Recipe | None, image: Image, home: Home, progress: Progress
) -> SlimReport:
    from pumice.assembly.slim import analyze_image, list_named, list_sliced
    from pumice.slimming.reach import EntryPoints

    platform_image = reading.select_platform(image, options.platform)
    recipe_path = options.recipe_path
    if recipe is None and options.output:
        recipe_path, recipe = _restore_recipe(options.output, platform_image)
    tests = tuple(recipe.tests) if recipe else ()
    verified = tuple(map(_read_command, options.verify))
    traced = _trace(options, tests, image, platform_image, home, progress)
    entry_points = EntryPoints(
        commands=tuple(test.command for test in (*tests, *verified) if test.command),
        traced=tuple(traced),
        named=list_named(recipe) if recipe else frozenset(),
    )
    slimmed = analyze_image(
        *(platform_image, entry_points, list_sliced(recipe) if recipe else (), home, progress),
        recommends=bool(recipe and recipe.recommends),
    )
    report = _make_report(options, platform_image, slimmed)
    if recipe is None or not (options.output or options.verify):
        return report
    return _build_and_verify(
        options, (recipe_path, recipe), slimmed, (*tests, *verified), report, home, progress
    )


def _make_report(options: argparse.Namespace, image: Image, slimmed: SlimmedImage) -> SlimReport:
    from pumice.formats import platforms

    ((_, platform),) = image.members()
    return SlimReport(
        image=options.target,
        digest=image.root.digest,
        platform=platforms.format_platform(platform),
        size=slimmed.plan.size,
        compressed=_measure(image),
        saved=slimmed.plan.saved_size,
        packages=slimmed.plan.packages,
        patterns=slimmed.plan.patterns,
        unreached=make_size_tree(slimmed.unreached(), options.depth),
        reached={f"/{path}": reason for path, reason in sorted(slimmed.reached.items())},
    )


def _restore_recipe(output_path: Path, image: Image) -> tuple[Path, Recipe]:
    """Write the recipe of an image beside the smaller one, which extends it, and load it."""
    from pumice.assembly.slim import restore_recipe
    from pumice.recipe.load import load_recipe

    path = output_path.with_name(f"{output_path.stem}.base.yaml")
    restore_recipe(image, path)
    return path, load_recipe(path)


def _measure(image: Image) -> int:
    return sum(layer.descriptor.size for layer in image.layers())


def _trace(
    options: argparse.Namespace,
    tests: Sequence[ImageTest],
    image: Image,
    platform_image: Image,
    home: Home,
    progress: Progress,
) -> list[str]:
    traced = [*map(_read_command, options.trace), *(tests if options.trace_tests else ())]
    if not traced:
        return []
    from pumice.assembly.traced_run import trace_tests
    from pumice.image_tests import suite

    suite.admit_image(
        *(traced, image, home, recipe_or_image.admission_request(options, image), progress),
        insecure="image" in options.insecure_options,
        confirm=confirmation.unsigned_image_question(),
    )
    return trace_tests(traced, platform_image, home, _run_settings(options), progress)


def _run_settings(options: argparse.Namespace) -> RunSettings:
    from pumice.image_tests.programs import RunSettings

    return RunSettings(network=options.network, timeout=options.timeout)


def _build_and_verify(
    options: argparse.Namespace,
    source: tuple[Path, Recipe],
    slimmed: SlimmedImage,
    tests: Sequence[ImageTest],
    report: SlimReport,
    home: Home,
    progress: Progress,
) -> SlimReport:
    """Build the smaller image, run the tests in it, and write the recipe; raises ImageError if one fails.

    ``source`` is the recipe that the smaller one extends.
    """
    from pumice.assembly.slim import build_slim, write_slim_recipe
    from pumice.image_tests import suite

    recipe_path, recipe = source
    build = build_slim(
        *(recipe_path, slimmed.plan, recipe_or_image.build_settings(options, recipe), home),
        arguments=dict(options.recipe_arguments),
        progress=progress,
    )
    slim_image = reading.select_platform(build.image.open(home), options.platform)
    for outcome in suite.run_tests(tests, slim_image, home, _run_settings(options), progress):
        if outcome.failures:
            raise _failed_test(outcome)
    if options.output:
        write_slim_recipe(options.output, recipe_path, slimmed.plan)
    return msgspec.structs.replace(
        report,
        verified=len(tests),
        slim_digest=slim_image.root.digest,
        slim_compressed=_measure(slim_image),
    )


def _failed_test(outcome: Outcome) -> ImageError:
    failure = outcome.failures[0]
    lines = (outcome.stderr or outcome.stdout).strip().splitlines()[-3:]
    return ImageError(
        f"{outcome.test!r} fails in the smaller image: {failure.subject}: {failure.actual[:200]}"
        + "".join(f"\n  {output.printable_line(line)}" for line in lines),
        hint="show what it uses with --trace; nothing was written",
    )


def _format_report(report: SlimReport, options: argparse.Namespace) -> Iterator[str]:
    size = output.format_size
    yield f"{output.printable_line(report.image)} ({report.platform}): {size(report.size)} of files"
    yield f"not reached: {size(report.unreached.size)} in {format_count(report.unreached.files, 'file')}"
    yield from _format_tree(report.unreached, report.unreached.size // _MIN_SHARE, "  ")
    if report.packages:
        names = ", ".join(item.package for item in report.packages)
        yield f"not reached at all: {names}"
    for path in options.why:
        reason = report.reached.get("/" + path.strip("/"), "nothing reaches it")
        yield output.printable_line(f"{path}: {reason}")
    if report.slim_compressed is None:
        yield f"a smaller recipe leaves out {size(report.saved)}; write it with --output FILE"
        return
    yield f"compressed: {size(report.compressed)} -> {size(report.slim_compressed)}"
    yield f"passed in the smaller image: {report.verified} of {report.verified} tests and commands"
    if options.output:
        yield f"wrote {output.printable_line(str(options.output))}"


def _format_tree(directory: SizedDirectory, smallest: int, indent: str) -> Iterator[str]:
    for branch in directory.below:
        if branch.size < max(smallest, 1):
            continue
        slash = "/" if branch.below or branch.files > 1 else ""
        name = output.printable_line(branch.path.rpartition("/")[2])
        yield f"{indent}{output.format_size(branch.size):>9}  {name}{slash}"
        yield from _format_tree(branch, smallest, indent + "  ")


if TYPE_CHECKING:
    from pumice.image_tests.outcome import Outcome
    from pumice.image_tests.programs import RunSettings
