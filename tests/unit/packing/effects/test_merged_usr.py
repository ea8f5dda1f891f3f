from __future__ import annotations

from pumice.packing.effects.merged_usr import link_merged_usr
from tests.support.texttree import given, shown, tree


def test_links_into_usr_for_what_is_there() -> None:
    result = link_merged_usr(
        given(tree({"usr/bin/sh": "x", "usr/lib/a": "", "usr/sbin/": "", "usr/lib64/ld.so": ""}))
    )
    assert shown(result.generated) == "bin -> usr/bin\nlib -> usr/lib\nlib64 -> usr/lib64\nsbin -> usr/sbin"


def test_links_that_a_package_ships_are_left_to_it() -> None:
    result = link_merged_usr(given(tree({"usr/bin/sh": "x", "bin": "-> usr/bin"})))
    assert result.generated == ()
