from __future__ import annotations

import pytest

from pumice.packing.effects.alternatives import link_alternatives, parse_install
from tests.support.texttree import effect_input, format_entries, package, tree

NANO = package(
    "nano",
    postinst="""
if [ "$1" = configure ] || [ "$1" = abort-upgrade ]; then
  # update-alternatives --install /usr/bin/no no /bin/no 1
  update-alternatives --install /usr/bin/editor editor /bin/nano 40 \\
    --slave /usr/share/man/man1/editor.1.gz editor.1.gz /usr/share/man/man1/nano.1.gz
  update-alternatives --remove old /bin/old
fi
if [ -n "$2" ]; then update-alternatives --install /usr/bin/editor editor /bin/upgrade 99; fi
""",
)
VIM = package(
    "vim-nox",
    postinst="""
for i in vi editor; do
  update-alternatives --install /usr/bin/$i "$i" /usr/bin/vim.nox 40
done
""",
)
PATHS = {"bin": "-> usr/bin", "usr/bin/nano": "", "usr/bin/vim.nox": "", "usr/bin/upgrade": ""}


def test_a_tie_is_decided_by_path_and_missing_slaves_are_omitted() -> None:
    effect = link_alternatives(effect_input(tree(PATHS, [VIM, NANO])))
    assert format_entries(effect.generated, with_content=True) == (
        "0755 0:0 etc/\n0755 0:0 etc/alternatives/\n"
        "etc/alternatives/editor -> /bin/nano\netc/alternatives/vi -> /usr/bin/vim.nox\n"
        "usr/bin/editor -> /etc/alternatives/editor\nusr/bin/vi -> /etc/alternatives/vi\n"
        "0755 0:0 var/\n0755 0:0 var/lib/\n0755 0:0 var/lib/dpkg/\n0755 0:0 var/lib/dpkg/alternatives/\n"
        "0644 0:0 var/lib/dpkg/alternatives/editor 'auto\\n/usr/bin/editor\\neditor.1.gz\\n"
        "/usr/share/man/man1/editor.1.gz\\n\\n/bin/nano\\n40\\n/usr/share/man/man1/nano.1.gz\\n"
        "/usr/bin/vim.nox\\n40\\n\\n\\n'\n"
        "0644 0:0 var/lib/dpkg/alternatives/vi 'auto\\n/usr/bin/vi\\n\\n/usr/bin/vim.nox\\n40\\n\\n'"
    )


def test_the_result_does_not_depend_on_the_order_of_packages() -> None:
    first, second = (
        link_alternatives(effect_input(tree(PATHS, packages))) for packages in ([VIM, NANO], [NANO, VIM])
    )
    assert format_entries(first.generated, with_content=True) == format_entries(
        second.generated, with_content=True
    )


def test_a_slave_with_an_existing_file_is_linked() -> None:
    effect = link_alternatives(effect_input(tree({**PATHS, "usr/share/man/man1/nano.1.gz": ""}, [NANO])))
    assert "usr/share/man/man1/editor.1.gz -> /etc/alternatives/editor.1.gz" in format_entries(
        effect.generated
    )


def test_a_missing_target_creates_no_link_group() -> None:
    assert link_alternatives(effect_input(tree({"usr/bin/x": ""}, [NANO]))).generated == ()


def test_a_regular_file_is_never_replaced() -> None:
    effect = link_alternatives(effect_input(tree({**PATHS, "usr/bin/editor": "real"}, [NANO])))
    assert "usr/bin/editor" not in format_entries(effect.generated)


def test_an_install_with_computed_operands_is_reported() -> None:
    odd = package("odd", postinst='update-alternatives --install /usr/bin/x x "$(find it)" 1\n')
    assert link_alternatives(effect_input(tree(PATHS, [odd]))).skipped_actions == (
        ("odd", "update-alternatives"),
    )


@pytest.mark.parametrize(
    "words",
    [
        "--install relative x /bin/x 1",
        "--install /usr/bin/x ../x /bin/x 1",
        "--install /usr/bin/x x /bin/x high",
        "--install /usr/bin/x x /bin/x --5",
        f"--install /usr/bin/x x /bin/x {'9' * 5000}",
        "--install /usr/bin/x x /bin/x \u0663",
        "--install /usr/bin/x x /bin/x",
        "--install /usr/bin/x x /bin/x 1 --slave /a b",
        "--install /usr/bin/x x /bin/x 1 --follow /a b c",
    ],
)
def test_an_invalid_command_line_is_not_parsed(words: str) -> None:
    assert parse_install(["update-alternatives", *words.split()]) is None
