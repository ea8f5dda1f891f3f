"""The names of skipped script actions."""

from __future__ import annotations

import msgspec
import pytest

from pumice.packing import effects
from pumice.packing.effects.model import EffectSettings, parse_table, read_data
from pumice.packing.tree import PackageFacts
from tests.support.texttree import package, tree


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("vendor-setup --init", ("vendor-setup",)),
        ("/usr/lib/x/setup && true", ("setup",)),
        ('"$(some command)" x', ("unknown command",)),
        ("if unknown; then vendor-setup; fi", ("unknown", "vendor-setup")),
        ("for x in a b; do vendor-setup $x; done", ("vendor-setup",)),
        ("f() { vendor-setup; }; case $1 in configure) f ;; remove) other ;; esac", ("vendor-setup",)),
        ("systemctl daemon-reload || true", ("services",)),
        ("phpenmod none", ("phpenmod",)),
        ("/usr/bin/python3.11 -E -S /usr/lib/python3.11/py_compile.py $files", ("byte code",)),
        ("dpkg-divert --add --rename /usr/bin/y", ("dpkg-divert",)),
        ("exec >&2; echo x | grep -q x; adduser --system y; ldconfig; trap - EXIT", ()),
        ("#!/usr/bin/perl\nexit 0;\n", ("perl script",)),
        ("#!/usr/bin/env python3 -S\n", ("python3 script",)),
        ("\x7fELF", ("program",)),
        ("if", ("script not understood",)),
    ],
)
def test_a_skipped_action_has_a_name(script: str, expected: tuple[str, ...]) -> None:
    script = script if script.startswith(("#!", "\x7f")) else f"#!/bin/sh\n{script}\n"
    skipped_actions = effects.apply(
        tree({"usr/bin/sh": ""}, [_package(script)]), EffectSettings(architecture="amd64", base="none")
    ).skipped_actions
    assert skipped_actions.get("x", ()) == expected


def test_a_program_of_the_package_itself_is_named_if_the_script_would_run_it() -> None:
    """As libgvc6 does: graphviz finds no plugins until its own program has listed them."""
    script = (
        "#!/bin/sh\nset -e\nif [ -x /usr/sbin/libgvc6-config-update ]; then\n\tlibgvc6-config-update -c\nfi\n"
    )
    for path, expected in (
        ("usr/sbin/libgvc6-config-update", ("libgvc6-config-update",)),
        ("usr/sbin/other", ()),
    ):
        skipped_actions = effects.apply(
            tree({"usr/bin/sh": "", path: ""}, [_package(script)]),
            EffectSettings(architecture="amd64", base="none"),
        ).skipped_actions
        assert skipped_actions.get("x", ()) == expected


def _package(script: str) -> PackageFacts:
    return msgspec.structs.replace(package("x"), files={"postinst": script.encode()})


def test_each_command_is_in_one_table() -> None:
    tables = [[row[0] for row in parse_table(read_data(name))] for name in ("actions.tsv", "quiet.tsv")]
    names = [name for rows in tables for name in rows]
    assert sorted(names) == sorted(set(names))
