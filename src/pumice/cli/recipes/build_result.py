"""The summary at the end of ``pumice build``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.cli.display.output import format_size
from pumice.cli.display.summaries import Row, Summary, format_seconds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from pumice.assembly.build_summary import PlatformSummary
    from pumice.assembly.image import BuiltImage
    from pumice.digest import Digest
    from pumice.recipe.model import Recipe


class BuildOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a build made, and where it is."""

    recipe: Recipe
    image: BuiltImage
    platforms: tuple[PlatformSummary, ...]
    added: Collection[Digest]
    """The blobs that the store did not have before."""
    seconds: float
    names: Sequence[str]
    """The names of the image in the store."""
    written: Sequence[str]
    """The other locations that it was written to."""
    readable: Sequence[str]
    """Those of them that commands read images from."""
    signed_by: str
    """The file name of the key or the identity that signed the image, empty for none."""
    is_keyless: bool
    """Whether an identity signed the image."""
    signed_archives: bool
    """Whether an OpenPGP key signed the archives."""
    report: str
    """The file of the report, empty if none was written."""


def summarize(outcome: BuildOutcome, *, verbose: bool = False) -> Summary:
    """Return the summary of a build; with ``verbose`` it lists the layers."""
    recipe = outcome.recipe
    return Summary(
        event="built",
        headline=f"built {recipe.name}:{recipe.version} in {format_seconds(outcome.seconds)}",
        rows=tuple(_rows(outcome)),
        details=tuple(_layer_lines(outcome)) if verbose else (),
        data=_data(outcome),
    )


def _rows(outcome: BuildOutcome) -> Iterator[Row]:
    if len(outcome.platforms) == 1:
        yield Row("platform", outcome.platforms[0].platform)
        yield from _platform_rows(outcome.platforms[0])
    else:
        for platform in outcome.platforms:
            size, packages, layers = (row.text for row in _platform_rows(platform))
            yield Row(platform.platform, f"{size}; packages: {packages}; layers: {layers}")
    skipped = _skipped_actions(outcome)
    if skipped is not None:
        yield skipped
    yield _signature_row(outcome)
    if outcome.names:
        yield Row("stored", ", ".join(outcome.names))
    if outcome.written:
        yield Row("written", ", ".join(outcome.written))
    if command := _next_command(outcome):
        yield Row("next", command, "command")


def _platform_rows(platform: PlatformSummary) -> Iterator[Row]:
    compressed, unpacked = format_size(platform.size), format_size(platform.unpacked_size)
    yield Row("size", f"{compressed} compressed, {unpacked} unpacked")
    packages = format_packages(platform.packages, platform.base_data_packages)
    omitted = f"; {platform.omitted_packages} left out" if platform.omitted_packages else ""
    yield Row("packages", packages + omitted)
    reused = platform.layers - platform.new_layers
    yield Row("layers", f"{platform.layers} ({platform.new_layers} new, {reused} reused)")


def format_packages(count: int, base_data_count: int) -> str:
    """Return the number of packages, and how many of them provide base data only."""
    if not base_data_count:
        return str(count)
    return f"{count} ({count - base_data_count} installed, {base_data_count} for base data only)"


def _skipped_actions(outcome: BuildOutcome) -> Row | None:
    if not any(platform.skipped_actions for platform in outcome.image.platforms.values()):
        return None
    from pumice.assembly.report import summarize_skipped_actions

    skipped = summarize_skipped_actions(outcome.image.platforms.values(), outcome.report)
    return Row("scripts", skipped.summary, "" if skipped.is_minor else "warning") if skipped else None


def _signature_row(outcome: BuildOutcome) -> Row:
    if outcome.signed_by:
        preposition = "by" if outcome.is_keyless else "with"
        return Row("signed", f"{preposition} {outcome.signed_by}", "good")
    if outcome.signed_archives:
        return Row("signed", "the archives, each with FILE.asc", "good")
    return Row("signed", "no")


def _next_command(outcome: BuildOutcome) -> str:
    if outcome.names:
        name = outcome.names[0]
        return f"pumice run {name}" if _can_run_here(outcome) else f"pumice inspect {name}"
    return f"pumice inspect {outcome.readable[0]}" if outcome.readable else ""


def _can_run_here(outcome: BuildOutcome) -> bool:
    if not outcome.recipe.run.command:
        return False
    from pumice.formats import platforms

    machine = platforms.from_machine(os.uname().machine)
    return any(platforms.matches(platforms.from_debian(name), machine) for name in outcome.image.platforms)


def _layer_lines(outcome: BuildOutcome) -> Iterator[str]:
    from pumice.cli.display import output

    for architecture, image in outcome.image.platforms.items():
        rows = [
            (
                "new" if layer.digest in outcome.added else "reused",
                format_size(layer.size),
                format_size(layer.tar_size),
                title,
            )
            for title, layer in image.layers
        ]
        yield f"layers of {architecture}"
        table = output.format_table(("", "size", "unpacked", "what"), rows, right=(1, 2))
        yield from (f"  {line}" for line in table.splitlines())


def _data(outcome: BuildOutcome) -> dict[str, Any]:
    return {
        "name": outcome.recipe.name,
        "version": outcome.recipe.version,
        "digest": outcome.image.root.digest,
        "seconds": round(outcome.seconds, 3),
        "platforms": [msgspec.to_builtins(platform) for platform in outcome.platforms],
        "skipped_actions": sorted(
            {
                name
                for platform in outcome.image.platforms.values()
                for name, actions in platform.skipped_actions.items()
                if actions
            }
        ),
        "signed_with": outcome.signed_by,
        "stored": list(outcome.names),
        "written": list(outcome.written),
        "next": _next_command(outcome),
    }
