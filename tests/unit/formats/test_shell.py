from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError
from pumice.formats import shell
from pumice.formats.shelltree import AndOr, Pipeline, SimpleCommand
from pumice.formats.shellwords import Part


def list_words(script: str) -> list[list[str]]:
    """Return the words of the plain commands of ``script``, quotes taken away."""
    commands: list[list[str]] = []
    for command in shell.parse_script(script.encode()):
        simple = command.first.commands[0]
        assert isinstance(simple, SimpleCommand)
        commands.append(["".join(part.text for part in word) for word in simple.words])
    return commands


def test_continued_lines_comments_and_quotes() -> None:
    script = 'a \'b c\' \\\n  "d\\"e" f\\ g # not this; nor that\n# nor this\nh#i'
    assert list_words(script) == [["a", "b c", 'd"e', "f g"], ["h#i"]]


def test_compound_commands() -> None:
    script = """
    if [ -e x ]; then a; elif b; then c; else d; fi
    case "$1" in (configure|abort-*) e ;; *) f; esac
    for x in 1 2 3; do g "$x"; done
    while read -r line; do h; done < file
    name() { i; }
    { j; } && (k) || ! l | m &
    """
    kinds = [type(command.first.commands[0]).__name__ for command in shell.parse_script(script.encode())]
    assert kinds == ["If", "Case", "For", "Loop", "FunctionDefinition", "Group"]
    last = shell.parse_script(script.encode())[-1]
    assert isinstance(last, AndOr)
    assert [operator for operator, _ in last.operations] == ["&&", "||"]
    assert last.operations[1][1] == Pipeline(last.operations[1][1].commands, negated=True)


def test_expansions_that_need_a_shell_are_unknown() -> None:
    (command,) = shell.parse_script(b'x "$a" ${b:-c d} $(e "$(f)") `g` $((1 + (2)))')
    simple = command.first.commands[0]
    assert isinstance(simple, SimpleCommand)
    assert simple.words[1][-1] == Part("parameter", "a", quoted=True)
    assert simple.words[2][0].operator == ":-"
    assert [word[0].text for word in simple.words[3:]] == ['e "$(f)"', "g", "$((1 + (2)))"]


def test_here_documents() -> None:
    script = b"cat > a <<EOF\nif [\nEOF\ncat <<-'E' > b\n\t$x\n\tE\nc\n"
    first, second, _ = shell.parse_script(script)
    simple = first.first.commands[0]
    assert isinstance(simple, SimpleCommand)
    assert simple.redirects[1].target == (Part("text", "if [\n", quoted=True),)
    simple = second.first.commands[0]
    assert isinstance(simple, SimpleCommand)
    assert simple.redirects[0].target == (Part("text", "$x\n", quoted=True),)


@pytest.mark.parametrize(
    "script",
    [
        "if a; then b",
        "case x in a) b",
        "'open",
        '"open',
        "a && ",
        "for 1 in 2; do b; done",
        "fi",
        "${a",
        "a )",
    ],
)
def test_refuses_invalid_scripts_with_the_line(script: str) -> None:
    with pytest.raises(FormatError, match="cannot parse line 2"):
        shell.parse_script(b"\n" + script.encode())


@pytest.mark.parametrize("opening", ["(", "{ ", "if ", "$(", "${a:-", "case x in y) "])
def test_refuses_deep_nesting(opening: str) -> None:
    with pytest.raises(FormatError):
        shell.parse_script(opening.encode() * 5000)


def test_refuses_a_large_script() -> None:
    with pytest.raises(FormatError, match="larger than 1 MiB"):
        shell.parse_script(b"#" * (1 << 20) + b"##")


@given(st.text(st.sampled_from("ab $'\"`(){};|&<>\\\n#=-:%if thenelsficaseindoneforwhl"), max_size=80))
def test_any_text_returns_commands_or_raises_format_error(text: str) -> None:
    try:
        shell.parse_script(text.encode())
    except PumiceError:
        return
