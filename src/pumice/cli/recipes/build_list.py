"""``pumice build`` with several recipes: they share indexes, connections and threads."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly import recipe_builds
from pumice.assembly.recipe_builds import BuildJob, start_builds
from pumice.cli.display import output
from pumice.cli.display.summaries import Summary, format_seconds
from pumice.cli.recipes import build_delivery, build_result
from pumice.cli.recipes.build_delivery import BuildKeys
from pumice.cli.recipes.build_plan import NAME_FIELD, BuildPlan, make_plan
from pumice.cli.recipes.recipe_list import Failures, RecipeProgress, summarize_list
from pumice.errors import UsageError
from pumice.store.home import Home, locate

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from pumice.assembly.recipe_builds import FinishedBuild
    from pumice.cli.display.presenters import Quiet
    from pumice.cli.recipes.build_result import BuildOutcome


class _PreparedRecipe(msgspec.Struct, frozen=True):
    path: Path
    plan: BuildPlan
    keys: BuildKeys


def build_all(options: argparse.Namespace, paths: list[Path], progress: Quiet) -> int:
    """Build all recipes, print a line for each image, and return the exit code."""
    started = time.monotonic()
    _check_options(options)
    failures = Failures(progress)
    prepared: list[_PreparedRecipe] = []
    for path in paths:
        with failures.catch(path):
            plan = make_plan(options, path)
            prepared.append(_PreparedRecipe(path, plan, build_delivery.choose_keys(options, plan)))
    _check_collisions(prepared)
    with Home(locate(os.environ), progress=progress) as home:
        outcomes = _build_prepared(options, prepared, failures, home, progress)
    if options.digest_file:
        from pumice.image.output import write_file

        lines = [f"{_format_line(path, outcome)}\n" for path, outcome in outcomes.items()]
        write_file(options.digest_file, "".join(lines).encode())
    if options.progress != "none":
        progress.finish(_summarize(paths, outcomes, time.monotonic() - started))
    return failures.exit_code(paths)


def _check_options(options: argparse.Namespace) -> None:
    """Raise UsageError for an option that is about one image."""
    if options.tag:
        hint = "list more tags under 'tags' in the recipes"
        raise UsageError("cannot use --tag with several recipes: each image needs its own name", hint=hint)
    if options.report:
        hint = "build one recipe at a time to get its report"
        raise UsageError("cannot use --report with several recipes", hint=hint)
    for text in options.output:
        if NAME_FIELD not in text:
            raise UsageError(
                f"cannot write several images to {text!r}",
                hint=f"put {NAME_FIELD} where their names differ, such as -o 'oci-archive:{NAME_FIELD}.tar'",
            )


def _check_collisions(prepared: Sequence[_PreparedRecipe]) -> None:
    """Raise UsageError if two images have the same name or the same destination."""
    recipe_builds.reject_collisions(
        (
            item.path,
            [
                *(str(destination.address) for destination in item.plan.destinations),
                # The names of an image with the version of a package are known only when it is locked.
                *(() if item.plan.recipe.version_from else item.plan.names),
            ],
        )
        for item in prepared
    )


def _build_prepared(
    options: argparse.Namespace,
    prepared: Sequence[_PreparedRecipe],
    failures: Failures,
    home: Home,
    progress: Quiet,
) -> dict[Path, BuildOutcome]:
    """Build the recipes in parallel, and deliver the images in the order of the recipes."""
    outcomes: dict[Path, BuildOutcome] = {}
    jobs = [
        BuildJob(item.plan.recipe, item.plan.settings, RecipeProgress(progress, item.path))
        for item in prepared
    ]
    with (
        progress.task("building", len(prepared), unit="images" if len(prepared) > 1 else "image") as task,
        start_builds(jobs, home, environ=os.environ, offline=options.offline, progress=progress) as builds,
    ):
        for item, future in zip(prepared, builds, strict=True):
            with failures.catch(item.path):
                outcome = _deliver(options, item, future, home, progress)
                outcomes[item.path] = outcome
                summary = build_result.summarize(outcome, verbose=options.verbose)
                progress.finish_item(msgspec.structs.replace(summary, data=_item_data(item.path, summary)))
                print(_format_line(item.path, outcome), flush=True)
            task.advance(1)
    return outcomes


def _deliver(
    options: argparse.Namespace,
    item: _PreparedRecipe,
    future: Future[FinishedBuild],
    home: Home,
    progress: Quiet,
) -> BuildOutcome:
    finished = future.result()
    started = time.monotonic() - finished.seconds
    return build_delivery.deliver(
        options, item.plan, item.keys, finished.build, home, progress, started=started
    )


def _format_line(path: Path, outcome: BuildOutcome) -> str:
    return f"{outcome.image.root.digest}  {output.printable_line(str(path))}"


def _item_data(path: Path, summary: Summary) -> dict[str, object]:
    return {"recipe": str(path), **summary.data}


def _summarize(paths: Sequence[Path], outcomes: dict[Path, BuildOutcome], seconds: float) -> Summary:
    table = output.format_table(
        ("image", "size", "packages", "state", "time"),
        [_row(path, outcomes.get(path)) for path in paths],
        right=(1, 2, 4),
        width=output.terminal_width(sys.stderr),
    )
    failed = [path for path in paths if path not in outcomes]
    return summarize_list("built", "image", paths, failed, table, seconds)


def _row(path: Path, outcome: BuildOutcome | None) -> tuple[str, ...]:
    if outcome is None:
        return (str(path), "", "", "failed", "")
    platforms = outcome.platforms
    return (
        f"{outcome.recipe.name}:{outcome.recipe.version}",
        output.format_size(sum(platform.size for platform in platforms)),
        str(max(platform.packages for platform in platforms)),
        "new" if outcome.image.root.digest in outcome.added else "unchanged",
        format_seconds(outcome.seconds),
    )
