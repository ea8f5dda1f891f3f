from __future__ import annotations

import pytest
from hypothesis import given as each
from hypothesis import strategies as st

from pumice.image.effects.commands import _mode
from pumice.image.effects.files import scripted_files
from pumice.image.effects.model import file
from tests.support.texttree import BASE, given, package, shown, tree

ACCOUNTS = {
    "etc/passwd": "root:x:0:0::/root:/bin/sh\nredis:x:101:102::/:/bin/sh\n",
    "etc/group": "root:x:0:\nadm:x:4:\nredis:x:102:\n",
}
PATHS = {
    **ACCOUNTS,
    "etc/x.conf": "package",
    "usr/bin/tool": "elf",
    "usr/share/x/template": "template",
    "var/lib/x/a/b": "b",
    "bin": "-> usr/bin",
    "var/run": "-> /run",
    "run/": "",
}


def made(script: str, name: str = "x") -> str:
    result = scripted_files(given(tree(PATHS, [package(name, postinst=script)])))
    lines = shown(result.generated, content=True)
    return "\n".join([lines, *(f"not done: {action}" for _, action in result.report)]).strip("\n")


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("mkdir -p /var/log/x/y", "0755 0:0 var/log/\n0755 0:0 var/log/x/\n0755 0:0 var/log/x/y/"),
        ("mkdir -m 700 /srv", "0700 0:0 srv/"),
        ("install -d -m 2750 -o redis -g adm /srv", "2750 101:4 srv/"),
        ("mkdir /var/run/x; chown redis: /var/run/x", "0755 101:102 run/x/"),
        ("chown redis:adm /etc/x.conf; chmod 0640 /etc/x.conf", "0640 101:4 etc/x.conf 'package'"),
        ("chgrp adm /bin/tool && chmod g+s /bin/tool", "2755 0:4 usr/bin/tool 'elf'"),
        ("chmod u+s,go-rx /bin/tool", "4700 0:0 usr/bin/tool 'elf'"),
        (
            "chown -R redis /var/lib/x",
            "0755 101:0 var/lib/x/\n0755 101:0 var/lib/x/a/\n0644 101:0 var/lib/x/a/b 'b'",
        ),
        ("touch /etc/new; chmod 600 /etc/new", "0600 0:0 etc/new ''"),
        ("umask 077; touch /etc/new", "0600 0:0 etc/new ''"),
        ("ln -s ../x /etc/link", "etc/link -> ../x"),
        ("ln -s /etc/x.conf /var/lib/x", "var/lib/x/x.conf -> /etc/x.conf"),
        ("cp /usr/share/x/template /etc/t.conf", "0644 0:0 etc/t.conf 'template'"),
        ("ucf --three-way /usr/share/x/template /etc/t.conf", "0644 0:0 etc/t.conf 'template'"),
        ("ucf /usr/share/x/template /etc/x.conf", ""),
        ("cd /etc; touch t; echo a b > t; mv t u", "0644 0:0 etc/u 'a b\\n'"),
        ("cat > /etc/t <<E\na\nE\necho b >> /etc/t", "0644 0:0 etc/t 'a\\nb\\n'"),
        ("touch /etc/t; rm -f /etc/t /etc/x.conf", ""),
        ("if unknown; then mkdir -Z /srv; else mkdir /srv; fi; chmod 700 /srv", "0700 0:0 srv/"),
        (
            "dpkg-statoverride --update --add redis adm 0640 /etc/x.conf",
            (
                "0640 101:4 etc/x.conf 'package'\n"
                "0644 0:0 var/lib/dpkg/statoverride 'redis adm 640 /etc/x.conf\\n'"
            ),
        ),
        # what is not certain, literal or possible is only reported
        ("unknown && chmod 777 /etc/x.conf", "not done: chmod (conditional)"),
        ("chown nobody /etc/x.conf", "not done: chown"),
        ('chmod 600 "$(some file)"', "not done: chmod"),
        ("chmod 600 /etc/*.conf", "not done: chmod"),
        ("chmod 99999 /etc/x.conf", "not done: chmod"),
        ("mkdir /no/parent", "not done: mkdir"),
        ("date > /etc/t", "not done: file contents"),
        # nothing of it is for an image
        ("mkdir /tmp/x", "not done: mkdir"),
        ("mkdir -p /dev/x", "not done: mkdir"),
    ],
)
def test_commands(script: str, expected: str) -> None:
    assert made(script) == expected


def test_file_capabilities() -> None:
    script = "if command -v setcap; then setcap cap_net_raw+ep /bin/tool; else chmod u+s /bin/tool; fi"
    (item,) = scripted_files(given(tree(PATHS, [package("x", postinst=script)]))).generated
    assert item.entry.xattrs == {
        "security.capability": bytes.fromhex("0100000200200000000000000000000000000000")
    }
    assert item.entry.mode == 0o755
    assert item.content == b"elf"


def test_paths_never_leave_the_root() -> None:
    assert made("mkdir -p /../../srv/../srv") == "0755 0:0 srv/"
    assert made("ln -s /etc /srv; touch /srv/../../etc/t").splitlines()[-1] == "srv -> /etc"


def test_other_effects_know_better() -> None:
    paths = {**BASE, "etc/x": "package"}
    whole = tree(
        paths, [package("base-passwd", postinst="cp /usr/share/base-passwd/passwd.master /etc/passwd")]
    )
    with_users = whole.plus([file("etc/passwd", b"ours", "effect:users")])
    result = scripted_files(given(with_users))
    assert result.generated == ()


def test_facts_from_the_table() -> None:
    paths = {**PATHS, "usr/share/zoneinfo/Etc/UTC": "zone"}
    zone = "etc/localtime -> /usr/share/zoneinfo/Etc/UTC"
    result = scripted_files(given(tree(paths, [package("tzdata")])))
    assert shown(result.generated, content=True) == zone
    writes = package("tzdata", postinst='echo "$(ask)" > /etc/timezone\n')
    result = scripted_files(given(tree(paths, [writes])))
    assert shown(result.generated, content=True) == f"{zone}\n0644 0:0 etc/timezone 'Etc/UTC\\n'"


@each(st.text(st.sampled_from("ugoa+-=rwxXst,07"), min_size=1, max_size=12), st.integers(0, 0o7777))
def test_any_mode_gives_permission_bits_or_an_error(text: str, old: int) -> None:
    try:
        assert 0 <= _mode(text, old) <= 0o7777
    except ValueError:
        return
