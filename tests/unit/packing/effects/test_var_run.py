from __future__ import annotations

from pumice.packing.effects.var_run import link_var_run
from tests.support.texttree import effect_input, format_entries, tree


def test_run_and_lock_become_links_and_their_content_moves() -> None:
    paths = {"var/run/": "", "var/run/x/": "", "var/run/x/pid": "1", "var/lock/": "", "run/": ""}
    effect_result = link_var_run(effect_input(tree(paths)))
    assert format_entries(effect_result.generated, with_content=True) == (
        "0755 0:0 run/x/\n0644 0:0 run/x/pid '1'\nvar/lock -> /run/lock\nvar/run -> /run"
    )
    assert effect_result.removed_paths == ("var/run/x", "var/run/x/pid")


def test_an_existing_link_is_kept() -> None:
    assert link_var_run(effect_input(tree({"var/run": "-> /run"}))).generated == ()
