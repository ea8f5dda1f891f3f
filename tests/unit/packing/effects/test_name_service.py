from __future__ import annotations

from pumice.packing.effects.name_service import configure_name_service
from tests.support.texttree import given, package, shown, tree

LIBC = package("libc6")


def test_name_service_from_the_template() -> None:
    whole = tree({"usr/share/libc-bin/nsswitch.conf": "hosts: files\n"}, [LIBC])
    assert (
        shown(configure_name_service(given(whole)).generated, content=True)
        == "0644 0:0 etc/nsswitch.conf 'hosts: files\\n'"
    )
    assert (
        b"hosts:          files dns" in configure_name_service(given(tree({}, [LIBC]))).generated[0].content
    )
    assert configure_name_service(given(tree({}))).generated == ()
    assert configure_name_service(given(tree({"etc/nsswitch.conf": "mine"}, [LIBC]))).generated == ()
