from __future__ import annotations

from pumice.packing.effects.shells import list_shells
from tests.support.texttree import given, package, tree


def test_shells() -> None:
    paths = {
        "bin": "-> usr/bin",
        "usr/bin/bash": "",
        "usr/bin/zsh": "",
        "usr/share/debianutils/shells.d/bash": "/bin/bash\n/bin/gone\n# no\n",
    }
    whole = tree(paths, [package("zsh", postinst="add-shell /usr/bin/zsh\n")])
    assert list_shells(given(whole)).generated[0].content == (
        b"# /etc/shells: valid login shells\n/bin/bash\n/usr/bin/bash\n/usr/bin/zsh\n"
    )
    assert list_shells(given(tree({}))).generated == ()
