from __future__ import annotations

from pumice.packing.effects.machine_id import create_machine_id
from tests.support.texttree import given, package, shown, tree

LIBC = package("libc6")


def test_an_empty_machine_id_for_those_who_read_one() -> None:
    assert shown(create_machine_id(given(tree({}, [package("dbus")]))).generated, content=True) == (
        "0644 0:0 etc/machine-id ''"
    )
    assert create_machine_id(given(tree({}, [LIBC]))).generated == ()
