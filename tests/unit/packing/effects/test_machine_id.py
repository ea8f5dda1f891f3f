from __future__ import annotations

from pumice.packing.effects.machine_id import create_machine_id
from tests.support.texttree import effect_input, format_entries, package, tree

LIBC = package("libc6")


def test_an_empty_machine_id_is_created_for_packages_that_read_it() -> None:
    assert format_entries(
        create_machine_id(effect_input(tree({}, [package("dbus")]))).generated, with_content=True
    ) == ("0644 0:0 etc/machine-id ''")
    assert create_machine_id(effect_input(tree({}, [LIBC]))).generated == ()
