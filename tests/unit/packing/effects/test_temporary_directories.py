from __future__ import annotations

from pumice.packing.effects.model import EffectSettings
from pumice.packing.effects.temporary_directories import create_temporary_directories
from tests.support.texttree import effect_input, format_entries, tree


def test_temporary_directories_exist_with_the_right_mode() -> None:
    effect_result = create_temporary_directories(effect_input(tree({"tmp/": "0755", "run/": "0755"})))
    assert (
        format_entries(effect_result.generated)
        == "0700 0:0 root/\n1777 0:0 tmp/\n0755 0:0 var/\n1777 0:0 var/tmp/"
    )
    assert (
        create_temporary_directories(
            effect_input(tree({}), EffectSettings(architecture="amd64", base="none"))
        ).generated
        == ()
    )
