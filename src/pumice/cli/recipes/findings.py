"""The findings of a build, with their places in the recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pumice.assembly.platform_model import PlatformImage
    from pumice.checks.finding import Finding
    from pumice.errors import Problem
    from pumice.progress import Progress
    from pumice.recipe.model import Recipe

_SHOWN_FILES = 3


def report_findings(
    images: Iterable[PlatformImage],
    recipe: Recipe,
    arguments: Mapping[str, str],
    progress: Progress,
    *,
    is_strict: bool = False,
    shows_notes: bool = False,
) -> None:
    """Print what the checks found in the images of a recipe, each once: warnings, and notes if requested.

    A note may be right: an image of Python always has one, because Python can start a shell. So a build
    shows notes only if ``shows_notes`` is set. ``arguments`` are those that the recipe was loaded with.
    With ``is_strict``, warnings raise RecipeError instead.
    """
    findings = _collect_findings([image.findings for image in images])
    if not findings and not recipe.checks.ignore:
        return
    from pumice.checks.report import make_report
    from pumice.cli.display.presenters import NOTE_PREFIX
    from pumice.errors import RecipeError
    from pumice.recipe.load import load_effective, locate_key

    report = make_report(findings, recipe.checks.ignore)
    root = load_effective(recipe.path, arguments).root
    if is_strict and report.warnings:
        raise RecipeError([_problem(finding, locate_key(root, finding.key)) for finding in report.warnings])
    for finding in report.findings:
        line = _line(finding, locate_key(root, finding.key))
        if not finding.is_note:
            progress.warn(line)
        elif shows_notes:
            progress.note(f"{NOTE_PREFIX}{line}")
    for rule in report.unused:
        path = f" at {rule.path}" if rule.path else ""
        place = locate_key(root, "checks.ignore")
        progress.note(f"{NOTE_PREFIX}{place}: nothing to ignore for the check {rule.check!r}{path}")


def report_given_up_files(images: Iterable[PlatformImage], progress: Progress) -> None:
    """Print which files no longer work without the packages that the recipe gives up, each package once."""
    files_by_package: dict[str, dict[str, None]] = {}
    for image in images:
        for package in image.omission.omitted:
            if package.by_recipe and package.unused_by:
                paths = files_by_package.setdefault(package.name, {})
                paths.update(dict.fromkeys(use.file for use in package.unused_by))
    if not files_by_package:
        return
    from pumice.cli.display.presenters import NOTE_PREFIX
    from pumice.terminal import format_count

    packages_by_files: dict[tuple[str, ...], list[str]] = {}
    for name, files in sorted(files_by_package.items()):
        packages_by_files.setdefault(tuple(files), []).append(name)
    for broken, names in packages_by_files.items():
        shown = ", ".join(f"/{path}" for path in broken[:_SHOWN_FILES])
        others = (
            f" and {len(broken) - _SHOWN_FILES} more, see --report FILE" if len(broken) > _SHOWN_FILES else ""
        )
        verb = "does" if len(broken) == 1 else "do"
        count = format_count(len(broken), "file")
        progress.note(f"{NOTE_PREFIX}without {', '.join(names)}, {count} {verb} not work: {shown}{others}")


def _collect_findings(findings_by_image: Sequence[Sequence[Finding]]) -> tuple[Finding, ...]:
    """Return the findings of all images, each once.

    A pattern of ``exclude`` may be meant for one architecture, so it must match nothing in all images.
    """
    return tuple(
        dict.fromkeys(
            finding
            for findings in findings_by_image
            for finding in findings
            if finding.check != "exclude"
            or finding.path
            or all(finding in other_findings for other_findings in findings_by_image)
        )
    )


def _problem(finding: Finding, where: str) -> Problem:
    from pumice.errors import Problem

    return Problem(f"{finding.message} [{finding.check}]", where=where, hint=finding.hint or None)


def _line(finding: Finding, where: str) -> str:
    hint = f"; {finding.hint}" if finding.hint else ""
    return f"{where}: {finding.message} [{finding.check}]{hint}"
