from __future__ import annotations

from pumice.packing.effects.var_run import link_var_run
from tests.support.texttree import given, shown, tree


def test_run_and_lock_move_with_what_is_in_them() -> None:
    paths = {"var/run/": "", "var/run/x/": "", "var/run/x/pid": "1", "var/lock/": "", "run/": ""}
    result = link_var_run(given(tree(paths)))
    assert shown(result.generated, content=True) == (
        "0755 0:0 run/x/\n0644 0:0 run/x/pid '1'\nvar/lock -> /run/lock\nvar/run -> /run"
    )
    assert result.removed == ("var/run/x", "var/run/x/pid")


def test_run_that_is_a_link_already_stays() -> None:
    assert link_var_run(given(tree({"var/run": "-> /run"}))).generated == ()
