from __future__ import annotations

from pumice.formats import alternatives
from pumice.formats.alternatives import Choice, LinkGroup


def test_the_state_file_of_a_group() -> None:
    group = LinkGroup(
        name="editor",
        link="/usr/bin/editor",
        slaves={"editor.1.gz": "/usr/share/man/man1/editor.1.gz", "a.1.gz": "/usr/share/man/man1/a.1.gz"},
        choices=(
            Choice(path="/usr/bin/vim.tiny", priority=15),
            Choice(path="/bin/nano", priority=40, slaves={"editor.1.gz": "/usr/share/man/man1/nano.1.gz"}),
        ),
    )
    assert alternatives.encode_link_group(group).decode() == (
        "auto\n/usr/bin/editor\n"
        "a.1.gz\n/usr/share/man/man1/a.1.gz\n"
        "editor.1.gz\n/usr/share/man/man1/editor.1.gz\n\n"
        "/bin/nano\n40\n\n/usr/share/man/man1/nano.1.gz\n"
        "/usr/bin/vim.tiny\n15\n\n\n\n"
    )


def test_priority_decides_and_then_the_path() -> None:
    choices = (
        Choice(path="/usr/bin/vim.nox", priority=40),
        Choice(path="/bin/nano", priority=40),
        Choice(path="/bin/ed", priority=-100),
    )
    assert LinkGroup(name="editor", link="/usr/bin/editor", choices=choices).best().path == "/bin/nano"
