from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import PumiceError
from pumice.packing.effects.scripts.environment import ScriptEnvironment
from pumice.packing.effects.scripts.interpreter import interpret_script
from tests.support.texttree import BASE, package, tree

ENVIRONMENT = ScriptEnvironment(
    tree({**BASE, "usr/bin/tool": "x", "etc/default/x": "USER=fromfile\n", "bin": "-> usr/bin"}),
    package("pkg", templates="Template: pkg/ask\nType: boolean\nDefault: true\n"),
    "amd64",
    frozenset({("passwd", "root"), ("group", "adm")}),
)


def list_commands(script: str) -> list[str]:
    """Return the commands of a script in a fresh installation, uncertain ones with a ``?``."""
    actions = interpret_script(script.encode(), ["configure", ""], {"DPKG_ROOT": ""}, ENVIRONMENT)
    return [
        ("" if action.is_certain else "? ")
        + " ".join("<?>" if word is None else word for word in action.words)
        for action in actions
    ]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ('U=redis; G="$U"; chown ${U}:$G /x', ["chown redis:redis /x"]),
        ("for x in a b; do mkdir /$x; done", ["mkdir /a", "mkdir /b"]),
        ('case "$1" in configure) run a ;; remove) run b ;; esac', ["run a"]),
        ('if [ "$1" = configure ] && [ -z "$2" ]; then run a; else run b; fi', ["run a"]),
        ('if [ -n "$2" ]; then run a; fi; run b', ["run b"]),
        ('if dpkg --compare-versions "$2" lt-nl 2.0; then run a; fi', ["dpkg --compare-versions  lt-nl 2.0"]),
        ('dpkg --compare-versions "$2" lt 2.0 && run a', ["dpkg --compare-versions  lt 2.0", "run a"]),
        ("getent passwd new >/dev/null || adduser new", ["getent passwd new", "adduser new"]),
        ("if ! getent group adm; then addgroup adm; fi", ["getent group adm"]),
        ("[ -x /bin/tool ] && run a; [ -e /nothing ] && run b", ["run a"]),
        ('[ -x "$(command -v tool)" ] && run a', ["run a"]),
        ("f() { run $1 $#; shift; g \"$@\"; }; g() { run $1; }; f a 'b c'", ["run a 2", "run b c"]),
        (". /etc/default/x; run $USER", ["run fromfile"]),
        ("unknown && run a; run b", ["unknown", "? run a", "run b"]),
        ("if unknown; then run a; else run b; fi", ["unknown", "? run a", "? run b"]),
        ("if unknown; then X=1; else X=2; fi; run $X", ["unknown", "run <?>"]),
        ("unknown || exit 1; run a", ["unknown", "run a"]),
        ("unknown || exit 0; run a", ["unknown", "? run a"]),
        ("exit 0; run a", []),
        ("X=$(uname -r); run $X ${Y:-z} ${1%gure}", ["run <?> z confi"]),
        ('run $(dirname /a/b/c) "$(basename /a/b.c .c)" $(dpkg --print-architecture)', ["run /a/b b amd64"]),
        ("for p in a:b c:d; do run $(echo $p | cut -d: -f2); done", ["run b", "run d"]),
        ("run $(echo a-b | cut -d - -f 1) $(echo a | cut -d: -f 2)", ["run a a"]),
        ("run $(echo a:b | cut -d: -f3)x $(echo a:b | cut -c1)", ["run x <?>"]),
        ("run $(echo a | sort)", ["run <?>"]),
        ('X=/d/$(uname -n); [ -d "$X" ] || install -d $X; run $X', ["install -d /d/\ue000", "run <?>"]),
        ('[ "$(hostname)" = a ] && run a; run b', ["? run a", "run b"]),
        ('case "$(hostname -s)" in a) run a ;; esac', ["? run a"]),
        ('. /nowhere; run "$Z"', ["run <?>"]),
        ('db_get pkg/ask; if [ "$RET" = true ]; then run a; fi', ["run a"]),
        ("while read x; do run $x; done", ["? run <?>"]),
        ("(cd /x; run a); run b", ["run a", "run b"]),
        ("set -- a b; run $1 $2", ["run a b"]),
        ("local x=1; export y=2; run $x$y", ["run 12"]),
        ("[ a = a -o b = c ] && run a; [ ! -d /usr ] && run b", ["run a"]),
        ("test $((1+1)) -eq 2 && run a", ["? run a"]),
    ],
)
def test_commands_that_a_script_runs(script: str, expected: list[str]) -> None:
    assert list_commands(script) == expected


def test_working_directory_and_output_of_a_command() -> None:
    first, second = interpret_script(b"cd /etc; echo a > x; cat >> y <<E\nb\nE\n", [], {}, ENVIRONMENT)
    assert (first.working_directory, first.output_files, first.output_text, first.is_appending) == (
        "/etc",
        ("x",),
        "a\n",
        False,
    )
    assert (second.output_files, second.output_text, second.is_appending) == (("y",), "b\n", True)


@pytest.mark.parametrize(
    "script",
    [
        "f() { f; }; f",
        "f() { for x in 1 2 3 4 5 6 7 8; do f; done; }; f",
        'x=aaaaaaaaaaaaaaaa; for i in 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0; do x="$x$x$x$x"; done; run $x',
        'set -- a a a; for i in 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5; do set -- "$@" "$@" "$@"; done; run "$@"',
        ". /etc/loop",
        "${x%" + "*a" * 60 + "b}",
        "{ " * 49 + "a; " + "} " * 0,
        "shift 99999999999999999999; run $99999999999999999999",
        "[ 99999999999999999999999 -gt 1 ] && run",
        "basename; dirname; $(basename) $(dirname) $(expr) $(stat -c %a)",
    ],
)
def test_a_hostile_script_ends_within_the_limits(script: str) -> None:
    try:
        interpret_script(script.encode(), ["configure", ""], {}, ENVIRONMENT)
    except PumiceError:
        return


TOKENS = st.sampled_from(
    [
        *[
            "if",
            "then",
            "fi",
            "else",
            "case",
            "$1",
            "in",
            "esac",
            "for",
            "x",
            "do",
            "done",
            "{",
            "}",
            "f()",
            "f",
            "(",
            ")",
            "&&",
            "||",
            ";",
            "\n",
            "[",
            "]",
            "test",
            "-e",
            "=",
            "!",
        ],
        *["${x:-a}", "$x", "$@", '"$2"', "$(f)", "`echo", "a`", "x=1", "cd", "/etc", "exit", "return", "run"],
        *[".", "/etc/default/x", "shift", "set", "--", "local", "export", "read", "db_get"],
    ]
)


@given(st.lists(TOKENS, max_size=30))
def test_any_script_gives_actions_or_an_error(tokens: list[str]) -> None:
    try:
        interpret_script(" ".join(tokens).encode(), ["configure", ""], {}, ENVIRONMENT)
    except PumiceError:
        return


def test_a_directory_cannot_be_sourced() -> None:
    assert interpret_script(b". .\n. /\n. /etc", ["configure", ""], {}, ENVIRONMENT) is not None
