from __future__ import annotations

from hypothesis import given as each
from hypothesis import strategies as st

from pumice.packing.effects.tmpfiles import create_tmpfiles, parse_tmpfiles
from tests.support.texttree import effect_input, format_entries, tree

ACCOUNTS = {"etc/passwd": "root:x:0:0::/root:/bin/sh\ns:x:5:6::/:/\n", "etc/group": "root:x:0:\ns:x:6:\n"}


def run_tmpfiles(conf: str, **paths: str) -> str:
    extra_paths = {path.replace("__", "/"): content for path, content in paths.items()}
    image_tree = tree({**ACCOUNTS, **extra_paths, "usr/lib/tmpfiles.d/x.conf": conf})
    effect_result = create_tmpfiles(effect_input(image_tree))
    return "\n".join(
        [
            format_entries(effect_result.generated, with_content=True),
            *(f"not done: {name}" for name, _ in effect_result.skipped_actions),
        ]
    )


def test_supported_line_types() -> None:
    conf = """
# comment
d /var/lib/a 0750 s s -
D /var/cache/b - - -
f /var/lib/a/f 0600 s - - hello
L /etc/l - - - - ../x
L+ /etc/m - - - - /y
C /etc/c - - - - /usr/share/c
z /usr/share/c 0640 root s
x /var/lib/z
d "/var/lib/with space" 0700
"""
    assert run_tmpfiles(conf, usr__share__c="copied") == (
        "0644 0:0 etc/c 'copied'\netc/l -> ../x\netc/m -> /y\n0640 0:6 usr/share/c 'copied'\n"
        "0755 0:0 var/\n0755 0:0 var/cache/\n0755 0:0 var/cache/b/\n0755 0:0 var/lib/\n"
        "0750 5:6 var/lib/a/\n0600 5:0 var/lib/a/f 'hello'\n0700 0:0 var/lib/with space/"
    )


def test_volatile_directories_are_skipped() -> None:
    conf = "d /run/x\nd /var/run/x\nd /tmp/x\nd /var/tmp/x\nd /home/%u\n"
    assert run_tmpfiles(conf + "d! /boot/x\nf^ /etc/x - - - - y\nq relative\n") == ""


def test_unknown_owners_are_reported() -> None:
    assert run_tmpfiles("d /var/lib/a - nobody-knows -\n") == "\nnot done: pkg"


def test_existing_files_are_kept() -> None:
    assert run_tmpfiles("f /etc/f - - - - other\nL /etc/f\nC /etc/f\n", etc__f="mine") == ""


@each(st.text(st.sampled_from("dDfLCzZ /ab.%-0789\t\n\"'\\x"), max_size=60))
def test_any_text_gives_valid_lines(text: str) -> None:
    for line in parse_tmpfiles(text):
        assert line.path.startswith("/")
        assert line.mode is None or line.mode <= 0o77777
    run_tmpfiles(text)
