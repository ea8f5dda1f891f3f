from __future__ import annotations

from pumice.packing.effects.shells import list_shells
from tests.support.texttree import effect_input, package, tree


def test_shells_come_from_shells_d_and_add_shell() -> None:
    paths = {
        "bin": "-> usr/bin",
        "usr/bin/bash": "",
        "usr/bin/zsh": "",
        "usr/share/debianutils/shells.d/bash": "/bin/bash\n/bin/gone\n# no\n",
    }
    image_tree = tree(paths, [package("zsh", postinst="add-shell /usr/bin/zsh\n")])
    assert list_shells(effect_input(image_tree)).generated[0].content == (
        b"# /etc/shells: valid login shells\n/bin/bash\n/usr/bin/bash\n/usr/bin/zsh\n"
    )
    assert list_shells(effect_input(tree({}))).generated == ()
