from __future__ import annotations

from pumice.packing.effects.model import Settings
from pumice.packing.effects.system import machine_id, name_service, shells, temporary
from tests.support.texttree import given, package, shown, tree

LIBC = package("libc6")


def test_name_service_from_the_template() -> None:
    whole = tree({"usr/share/libc-bin/nsswitch.conf": "hosts: files\n"}, [LIBC])
    assert (
        shown(name_service(given(whole)).generated, content=True)
        == "0644 0:0 etc/nsswitch.conf 'hosts: files\\n'"
    )
    assert b"hosts:          files dns" in name_service(given(tree({}, [LIBC]))).generated[0].content
    assert name_service(given(tree({}))).generated == ()
    assert name_service(given(tree({"etc/nsswitch.conf": "mine"}, [LIBC]))).generated == ()


def test_shells() -> None:
    paths = {
        "bin": "-> usr/bin",
        "usr/bin/bash": "",
        "usr/bin/zsh": "",
        "usr/share/debianutils/shells.d/bash": "/bin/bash\n/bin/gone\n# no\n",
    }
    whole = tree(paths, [package("zsh", postinst="add-shell /usr/bin/zsh\n")])
    assert shells(given(whole)).generated[0].content == (
        b"# /etc/shells: valid login shells\n/bin/bash\n/usr/bin/bash\n/usr/bin/zsh\n"
    )
    assert shells(given(tree({}))).generated == ()


def test_an_empty_machine_id_for_those_who_read_one() -> None:
    assert shown(machine_id(given(tree({}, [package("dbus")]))).generated, content=True) == (
        "0644 0:0 etc/machine-id ''"
    )
    assert machine_id(given(tree({}, [LIBC]))).generated == ()


def test_temporary_folders_are_there_with_the_right_mode() -> None:
    result = temporary(given(tree({"tmp/": "0755", "run/": "0755"})))
    assert shown(result.generated) == "0700 0:0 root/\n1777 0:0 tmp/\n0755 0:0 var/\n1777 0:0 var/tmp/"
    assert temporary(given(tree({}), Settings(architecture="amd64", base="none"))).generated == ()
