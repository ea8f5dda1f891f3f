"""The one line about skipped actions of maintainer scripts."""

from __future__ import annotations

import pytest

from pumice.assembly.platform_model import PlatformImage
from pumice.assembly.report import SkippedActions, summarize_skipped_actions
from pumice.formats.oci import Descriptor
from pumice.recipe.lock import Ids


def built(**undone: tuple[str, ...]) -> PlatformImage:
    nothing = Descriptor("application/json", "sha256:" + "0" * 64, 0)
    return PlatformImage(
        manifest=nothing,
        config=nothing,
        created=0,
        ids=Ids(),
        layers=(),
        skipped_actions=undone,
        facts="sha256:0",
    )


def test_there_is_no_summary_without_skipped_actions() -> None:
    assert summarize_skipped_actions([built(), built()]) is None


def test_kinds_are_counted_by_package_and_minor_ones_are_hidden() -> None:
    amd64 = built(a=("services", "chown"), b=("chown", "vendor-setup"), c=("services",))
    arm64 = built(a=("chown",))
    assert summarize_skipped_actions([amd64, arm64]) == SkippedActions(
        "skipped actions of 2 packages: chown (2), vendor-setup (1); see --report FILE",
        is_minor=False,
    )
    assert summarize_skipped_actions([built(c=("services",))], "r.json") == SkippedActions(
        "skipped actions of 1 package: services (1); see r.json", is_minor=True
    )


@pytest.mark.parametrize(
    ("count", "ending"),
    [(4, "k3 (1); see r"), (5, "k3 (1), 1 more kind; see r"), (6, "k3 (1), 2 more kinds; see r")],
)
def test_the_summary_lists_a_limited_number_of_kinds(count: int, ending: str) -> None:
    skipped = summarize_skipped_actions([built(a=tuple(f"k{number}" for number in range(count)))], "r")
    assert skipped
    assert skipped.summary.endswith(ending)
