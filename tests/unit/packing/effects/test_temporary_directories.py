from __future__ import annotations

from pumice.packing.effects.model import EffectSettings
from pumice.packing.effects.temporary_directories import create_temporary_directories
from tests.support.texttree import given, shown, tree


def test_temporary_folders_are_there_with_the_right_mode() -> None:
    result = create_temporary_directories(given(tree({"tmp/": "0755", "run/": "0755"})))
    assert shown(result.generated) == "0700 0:0 root/\n1777 0:0 tmp/\n0755 0:0 var/\n1777 0:0 var/tmp/"
    assert (
        create_temporary_directories(
            given(tree({}), EffectSettings(architecture="amd64", base="none"))
        ).generated
        == ()
    )
