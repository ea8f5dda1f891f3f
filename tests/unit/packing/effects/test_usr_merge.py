from __future__ import annotations

from pumice.packing.effects.usr_merge import merged_usr, moved_run
from tests.support.texttree import given, shown, tree


def test_links_into_usr_for_what_is_there() -> None:
    result = merged_usr(
        given(tree({"usr/bin/sh": "x", "usr/lib/a": "", "usr/sbin/": "", "usr/lib64/ld.so": ""}))
    )
    assert shown(result.generated) == "bin -> usr/bin\nlib -> usr/lib\nlib64 -> usr/lib64\nsbin -> usr/sbin"


def test_links_that_a_package_ships_are_left_to_it() -> None:
    result = merged_usr(given(tree({"usr/bin/sh": "x", "bin": "-> usr/bin"})))
    assert result.generated == ()


def test_run_and_lock_move_with_what_is_in_them() -> None:
    paths = {"var/run/": "", "var/run/x/": "", "var/run/x/pid": "1", "var/lock/": "", "run/": ""}
    result = moved_run(given(tree(paths)))
    assert shown(result.generated, content=True) == (
        "0755 0:0 run/x/\n0644 0:0 run/x/pid '1'\nvar/lock -> /run/lock\nvar/run -> /run"
    )
    assert result.removed == ("var/run/x", "var/run/x/pid")


def test_run_that_is_a_link_already_stays() -> None:
    assert moved_run(given(tree({"var/run": "-> /run"}))).generated == ()
