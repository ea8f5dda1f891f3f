from __future__ import annotations

from pumice.packing.effects.name_service import configure_name_service
from tests.support.texttree import effect_input, format_entries, package, tree

LIBC = package("libc6")


def test_nsswitch_conf_comes_from_the_template() -> None:
    image_tree = tree({"usr/share/libc-bin/nsswitch.conf": "hosts: files\n"}, [LIBC])
    assert (
        format_entries(configure_name_service(effect_input(image_tree)).generated, with_content=True)
        == "0644 0:0 etc/nsswitch.conf 'hosts: files\\n'"
    )
    assert (
        b"hosts:          files dns"
        in configure_name_service(effect_input(tree({}, [LIBC]))).generated[0].content
    )
    assert configure_name_service(effect_input(tree({}))).generated == ()
    assert configure_name_service(effect_input(tree({"etc/nsswitch.conf": "mine"}, [LIBC]))).generated == ()
