"""Redrafts: what was changed by hand stays, and of the rest the new draft decides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import SliceError
from pumice.formats.yaml import read_document
from pumice.slices.definitions import read_definition
from pumice.slices.draft.drafting import DraftedPackage
from pumice.slices.draft.grouping import LeftOut
from pumice.slices.draft.redraft import Redraft, merge_drafts
from pumice.slices.draft.text import format_draft
from pumice.slices.model import Essential, PackageSlices, PathRule, Slice
from pumice.slices.values import ValueReader

BASE = """\
# left out: /usr/share/man/man1/tool.1: documentation
package: tool

essential:
  tool_copyright:

slices:
  bins:
    hint: Programs
    essential:
      libone_libs:
      libtwo_libs:
    contents:
      /usr/bin/helper:
      /usr/bin/tool:

  data:
    contents:
      /usr/share/tool/a:
      /usr/share/tool/b:

  copyright:
    contents:
      /usr/share/doc/tool/copyright:
"""
EDITED = """\
# Our tool, checked by Ada.
# left out: /usr/share/man/man1/tool.1: documentation
package: tool

essential:
  tool_copyright:

slices:
  bins:
    hint: Programs
    essential:
      # libtwo is only for a plugin that we do not use
      libone_libs:
    contents:
      /usr/bin/tool:
      /var/lib/tool/: {make: true, mode: 0700}  # by hand
    mutate: |
      content.write("/var/lib/tool/x", "")

  data:
    contents:
      /usr/share/tool/a: {mutable: true}
      /usr/share/tool/b:

  copyright:
    contents:
      /usr/share/doc/tool/copyright:
"""
NEW = """\
# left out: /usr/share/man/man1/new.1: documentation
package: tool

essential:
  tool_copyright:

slices:
  bins:
    hint: Programs
    essential:
      libone_libs:
      libthree_libs:
      libtwo_libs:
    contents:
      /usr/bin/helper:
      /usr/bin/new:
      /usr/bin/tool:

  data:
    contents:
      /usr/share/tool/c:

  extra:
    contents:
      /usr/lib/tool/extra.so:

  copyright:
    contents:
      /usr/share/doc/tool/copyright:
"""


def merge(base: str, current: str, new: str) -> Redraft:
    return merge_drafts("tool", base=base, current=current, new=new, file="slices/tool.yaml")


def read(text: str) -> dict[str, tuple[set[str], set[str]]]:
    """Return the paths and the requirements of each slice."""
    values = ValueReader()
    definition = read_definition(read_document(text.encode(), "f").root, "tool", "f", "v3", values)
    assert values.problems == []
    return {
        name: ({rule.path for rule in item.contents}, {each.name for each in item.essential})
        for name, item in definition.slices.items()
    }


def test_the_ends_of_lines_stay_as_they_are() -> None:
    new = BASE.replace("      /usr/bin/tool:\n", "      /usr/bin/tool:\n      /usr/bin/zoo:\n")
    merged = merge(BASE, EDITED, new).text
    with_returns = merge(BASE, EDITED.replace("\n", "\r\n"), new).text
    assert with_returns == merged.replace("\n", "\r\n")


def test_corrections_are_kept_and_the_rest_follows_the_package() -> None:
    redraft = merge(BASE, EDITED, NEW)
    slices = read(redraft.text)
    assert slices["bins"] == (
        {"/usr/bin/tool", "/usr/bin/new", "/var/lib/tool/"},
        {"libone_libs", "libthree_libs", "tool_copyright"},
    )
    assert slices["data"][0] == {"/usr/share/tool/a", "/usr/share/tool/c"}
    assert slices["extra"] == ({"/usr/lib/tool/extra.so"}, {"tool_copyright"})
    for kept in (
        "# Our tool, checked by Ada.",
        "# libtwo is only",
        "# by hand",
        'content.write("/var/lib/tool/x"',
    ):
        assert kept in redraft.text
    assert "man1/new.1" in redraft.text
    assert "man1/tool.1" not in redraft.text
    assert redraft.changes == (
        "bins: added /usr/bin/new",
        "bins: added libthree_libs",
        "data: added /usr/share/tool/c",
        "data: removed /usr/share/tool/b",
        "added the slice extra",
    )
    assert redraft.open_questions == ("data: the new draft has no /usr/share/tool/a",)


def test_a_slice_that_was_removed_by_hand_stays_removed() -> None:
    current = BASE.replace(
        "  data:\n    contents:\n      /usr/share/tool/a:\n      /usr/share/tool/b:\n\n", ""
    )
    assert "data" not in read(merge(BASE, current, NEW).text)


def test_a_new_mapping_is_inserted() -> None:
    new = BASE.replace("  data:\n", "  data:\n    essential:\n      libone_libs:\n      libnew_libs:\n")
    redraft = merge(BASE, BASE, new)
    assert read(redraft.text) == read(new)
    assert redraft.open_questions == ()


def test_what_cannot_be_edited_line_by_line_is_a_question() -> None:
    current = BASE.replace(
        "    contents:\n      /usr/share/tool/a:\n      /usr/share/tool/b:\n",
        "    contents: {/usr/share/tool/a: , /usr/share/tool/b: }\n",
    )
    redraft = merge(BASE, current, NEW)
    assert read(redraft.text)["data"][0] == {"/usr/share/tool/a", "/usr/share/tool/b"}
    assert set(redraft.open_questions) == {
        "data: the new draft adds /usr/share/tool/c",
        "data: the new draft has no /usr/share/tool/a",
        "data: the new draft has no /usr/share/tool/b",
    }


@pytest.mark.parametrize(
    "current", ["", "package: other\nslices: {}\n", "slices: [", "package: tool\nslices: 1\n"]
)
def test_a_file_that_is_no_definition_is_an_error(current: str) -> None:
    with pytest.raises(SliceError):
        merge(BASE, current, NEW)


NAMES = st.sets(st.sampled_from(["bins", "libs", "data"]), min_size=1)
PATHS = st.frozensets(st.sampled_from([f"/usr/{name}" for name in ("a", "b b", "c:d", "e#f", "g**", "1")]))
NEEDS = st.frozensets(st.sampled_from(["liba_libs", "libb_bins", "libc_data"]))


@st.composite
def drafts(draw: st.DrawFn) -> str:
    """Return a draft as `format_draft` writes it."""
    slices = {
        name: Slice(
            "tool",
            name,
            essential=tuple(map(Essential, sorted(draw(NEEDS)))),
            contents=tuple(
                PathRule(path, "glob" if "*" in path else "copy") for path in sorted(draw(PATHS) or {"/x"})
            ),
        )
        for name in sorted(draw(NAMES))
    }
    left_out = (LeftOut("/usr/share/man", "documentation"),) if draw(st.booleans()) else ()
    return format_draft(
        DraftedPackage(definition=PackageSlices("tool", "f", slices=slices), left_out=left_out)
    )


@given(drafts(), drafts())
def test_an_unchanged_draft_becomes_the_new_one(base: str, new: str) -> None:
    redraft = merge(base, base, new)
    merged, latest = read(redraft.text), read(new)
    assert {name: parts for name, parts in merged.items() if name in latest} == latest
    assert all(parts == (set(), set()) for name, parts in merged.items() if name not in latest)


@given(drafts(), drafts())
def test_the_same_draft_again_changes_nothing(base: str, current: str) -> None:
    redraft = merge(base, current, base)
    assert read(redraft.text) == read(current)
    assert redraft.changes == ()


@given(drafts(), drafts(), drafts())
def test_merging_again_changes_nothing(base: str, current: str, new: str) -> None:
    once = merge(base, current, new)
    again = merge(new, once.text, new)
    assert (read(again.text), again.changes) == (read(once.text), ())
