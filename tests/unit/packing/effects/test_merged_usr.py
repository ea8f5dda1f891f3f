from __future__ import annotations

from pumice.packing.effects.merged_usr import link_merged_usr
from tests.support.texttree import effect_input, format_entries, tree


def test_existing_directories_in_usr_get_links() -> None:
    effect_result = link_merged_usr(
        effect_input(tree({"usr/bin/sh": "x", "usr/lib/a": "", "usr/sbin/": "", "usr/lib64/ld.so": ""}))
    )
    assert (
        format_entries(effect_result.generated)
        == "bin -> usr/bin\nlib -> usr/lib\nlib64 -> usr/lib64\nsbin -> usr/sbin"
    )


def test_links_of_packages_are_kept() -> None:
    effect_result = link_merged_usr(effect_input(tree({"usr/bin/sh": "x", "bin": "-> usr/bin"})))
    assert effect_result.generated == ()
