"""A parser for POSIX shell scripts (IEEE Std 1003.1, Shell Command Language), such as maintainer scripts.

It returns a tree of commands and does not interpret them. Expansions that only a running shell can
evaluate (command substitution, arithmetic) are parts of kind ``unknown``.
"""

from __future__ import annotations

import re

import msgspec

from pumice.errors import FormatError
from pumice.formats.shelltree import (
    AndOr,
    Case,
    Command,
    For,
    FunctionDefinition,
    Group,
    If,
    Loop,
    Pipeline,
    Redirect,
    Redirected,
    Sequence,
    SimpleCommand,
)
from pumice.formats.shellwords import TEXT, Part, Word, WordReader

_MAX_SIZE = 1 << 20

_OPERATOR = re.compile(r"&&|\|\||;;&?|;&|[;&|()]")
_REDIRECT = re.compile(r"(\d*)(<<-?|>>|>&|<&|<>|>\||&>>?|[<>])")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_RESERVED = frozenset(("if", "then", "elif", "else", "fi", "case", "in", "esac", "!")) | frozenset(
    ("for", "while", "until", "do", "done", "{", "}")
)


def parse_script(script: bytes) -> Sequence:
    """Return the commands of ``script``; raises FormatError if it cannot be parsed."""
    if len(script) > _MAX_SIZE:
        raise FormatError("the script is larger than 1 MiB")
    parser = _Parser(script.decode("utf-8", "replace"))
    commands = parser.read_sequence()
    if parser.position < len(parser.text):
        raise parser.make_error()
    return commands


def _get_literal_text(word: Word) -> str | None:
    """Return the text of a word without quotes and expansions, None for another word."""
    if len(word) == 1 and word[0].kind == "text" and not word[0].quoted:
        return word[0].text
    return None


class _Parser(WordReader):
    """A recursive descent parser; ``position`` is the next character."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._here_documents: list[tuple[str, bool, bool, Redirect]] = []

    # Commands

    def read_sequence(self, *stops: str) -> Sequence:
        """Return the commands up to a reserved word in ``stops``, a closing operator, or the end."""
        self.enter_nesting()
        commands: list[AndOr] = []
        while True:
            self._skip_newlines()
            if self._is_at_end_of_sequence() or (stops and self._peek_reserved_word() in stops):
                break
            commands.append(self._parse_and_or())
            self.skip_blanks()
            if self._peek_operator() in (";", "&"):
                self.position += 1
        self.depth -= 1
        return tuple(commands)

    def _is_at_end_of_sequence(self) -> bool:
        return self.position >= len(self.text) or self._peek_operator() in (")", ";;", ";&", ";;&")

    def _parse_and_or(self) -> AndOr:
        first = self._parse_pipeline()
        operations: list[tuple[str, Pipeline]] = []
        while True:
            self.skip_blanks()
            operator = self._peek_operator()
            if operator not in ("&&", "||"):
                return AndOr(first, tuple(operations))
            self.position += 2
            self._skip_newlines()
            operations.append((operator, self._parse_pipeline()))

    def _parse_pipeline(self) -> Pipeline:
        self.skip_blanks()
        negated = self._peek_reserved_word() == "!"
        if negated:
            self.position += 1
            self.skip_blanks()
        commands = [self._parse_command()]
        while True:
            self.skip_blanks()
            if self._peek_operator() != "|":
                return Pipeline(tuple(commands), negated)
            self.position += 1
            self._skip_newlines()
            commands.append(self._parse_command())

    def _parse_command(self) -> Command:
        word = self._peek_reserved_word()
        if word == "if":
            return self._attach_redirects(self._parse_if())
        if word == "case":
            return self._attach_redirects(self._parse_case())
        if word == "for":
            return self._attach_redirects(self._parse_for())
        if word in ("while", "until"):
            self._expect(word)
            condition = self.read_sequence("do")
            return self._attach_redirects(Loop(condition, self._parse_do_group(), word == "until"))
        if word == "{":
            self._expect("{")
            body = self.read_sequence("}")
            self._expect("}")
            return self._attach_redirects(Group(body))
        if self._peek_operator() == "(":
            self.position += 1
            body = self.read_sequence()
            self._expect_operator(")")
            return self._attach_redirects(Group(body, subshell=True))
        if word:
            raise self.make_error()
        return self._parse_simple_command()

    def _attach_redirects(self, command: Command) -> Command:
        """Return a compound command with the redirections that follow it."""
        redirects = tuple(self._parse_redirects())
        documents = tuple(redirect for redirect in redirects if redirect.operator.startswith("<<"))
        if documents and isinstance(command, Loop | Group):
            command = msgspec.structs.replace(command, here_documents=documents)
        is_written = any(redirect.operator in (">", ">>", ">|") for redirect in redirects)
        return Redirected(command, redirects) if is_written else command

    def _parse_if(self) -> If:
        self._expect("if")
        branches: list[tuple[Sequence, Sequence]] = []
        else_body: Sequence = ()
        while True:
            condition = self.read_sequence("then")
            self._expect("then")
            branches.append((condition, self.read_sequence("elif", "else", "fi")))
            word = self._peek_reserved_word()
            self._expect(word)
            if word == "else":
                else_body = self.read_sequence("fi")
                self._expect("fi")
            if word != "elif":
                return If(tuple(branches), else_body)

    def _parse_case(self) -> Case:
        self._expect("case")
        self.skip_blanks()
        word = self.read_word()
        self._skip_newlines()
        self._expect("in")
        branches: list[tuple[tuple[Word, ...], Sequence]] = []
        while True:
            self._skip_newlines()
            if self._peek_reserved_word() == "esac":
                self._expect("esac")
                return Case(word, tuple(branches))
            patterns = self._parse_patterns()
            branches.append((patterns, self.read_sequence("esac")))
            if self._peek_operator() in (";;", ";&", ";;&"):
                self.position += len(self._peek_operator())

    def _parse_patterns(self) -> tuple[Word, ...]:
        if self._peek_operator() == "(":
            self.position += 1
        patterns: list[Word] = []
        while True:
            self.skip_blanks()
            patterns.append(self.read_word())
            self.skip_blanks()
            if self._peek_operator() != "|":
                self._expect_operator(")")
                return tuple(patterns)
            self.position += 1

    def _parse_for(self) -> For:
        self._expect("for")
        self.skip_blanks()
        name = _NAME.match(self.text, self.position)
        if not name:
            raise self.make_error()
        self.position = name.end()
        self._skip_newlines()
        words: list[Word] | None = None
        if self._peek_reserved_word() == "in":
            self._expect("in")
            words = []
            self.skip_blanks()
            while (
                self.position < len(self.text)
                and self.text[self.position] != "\n"
                and not self._peek_operator()
            ):
                words.append(self.read_word())
                self.skip_blanks()
        self.skip_blanks()
        if self._peek_operator() == ";":
            self.position += 1
        self._skip_newlines()
        return For(name[0], None if words is None else tuple(words), self._parse_do_group())

    def _parse_do_group(self) -> Sequence:
        self._skip_newlines()
        self._expect("do")
        body = self.read_sequence("done")
        self._expect("done")
        return body

    def _parse_simple_command(self) -> Command:
        assignments: list[tuple[str, Word]] = []
        words: list[Word] = []
        redirects: list[Redirect] = []
        while True:
            redirects += self._parse_redirects()
            self.skip_blanks()
            if self.position >= len(self.text) or self.text[self.position] == "\n" or self._peek_operator():
                break
            assignment = None if words else _ASSIGNMENT.match(self.text, self.position)
            if assignment:
                self.position = assignment.end()
                assignments.append((assignment[1], self.read_word(empty=True)))
            else:
                words.append(self.read_word())
        if len(words) == 1 and self._peek_operator() == "(" and (name := _get_literal_text(words[0])):
            self.position += 1
            self.skip_blanks()
            self._expect_operator(")")
            self._skip_newlines()
            return FunctionDefinition(name, self._parse_command())
        if not (words or assignments or redirects):
            raise self.make_error()
        return SimpleCommand(tuple(assignments), tuple(words), tuple(redirects))

    def _parse_redirects(self) -> list[Redirect]:
        redirects: list[Redirect] = []
        while True:
            self.skip_blanks()
            match = _REDIRECT.match(self.text, self.position)
            if not match or (match[2].startswith("&") and self.text.startswith("&&", self.position)):
                return redirects
            self.position = match.end()
            self.skip_blanks()
            target = self.read_word()
            redirect = Redirect(match[1], match[2], target)
            if match[2] in ("<<", "<<-"):
                delimiter = "".join(part.text for part in target)
                is_quoted = any(part.quoted for part in target)
                self._here_documents.append((delimiter, match[2] == "<<-", is_quoted, redirect))
            redirects.append(redirect)

    def read_substitution(self) -> None:
        """Read the commands of ``$(...)`` up to the parenthesis."""
        self.read_sequence()
        self._expect_operator(")")

    # Tokens

    def _peek_reserved_word(self) -> str:
        """Return the reserved word at the position, ``""`` if there is none, without consuming it."""
        match = TEXT.match(self.text, self.position)
        if not match or match[0] not in _RESERVED:
            return ""
        next_character = self.text[match.end() : match.end() + 1]
        return "" if next_character in ("'", '"', "$", "`", "\\") and next_character else match[0]

    def _peek_operator(self) -> str:
        match = _OPERATOR.match(self.text, self.position)
        return match[0] if match else ""

    def _expect(self, word: str) -> None:
        if not word or self._peek_reserved_word() != word:
            raise self.make_error()
        self.position += len(word)

    def _expect_operator(self, operator: str) -> None:
        if self._peek_operator() != operator:
            raise self.make_error()
        self.position += len(operator)

    def _skip_newlines(self) -> None:
        self.skip_blanks()
        while self.text.startswith("\n", self.position):
            self.position += 1
            if self._here_documents:
                self._read_here_documents()
            self.skip_blanks()

    def _read_here_documents(self) -> None:
        for delimiter, strips_tabs, is_quoted, redirect in self._here_documents:
            lines: list[str] = []
            while self.position < len(self.text):
                end = self.text.find("\n", self.position)
                end = len(self.text) if end < 0 else end
                line = self.text[self.position : end]
                self.position = min(end + 1, len(self.text))
                line = line.lstrip("\t") if strips_tabs else line
                if line == delimiter:
                    break
                lines.append(line + "\n")
            text = "".join(lines)
            literal = is_quoted or not set(text) & set("$`\\")
            redirect.target = (Part("text" if literal else "unknown", text, quoted=True),)
        self._here_documents.clear()
