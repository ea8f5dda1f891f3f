"""The syntax tree of a shell script, as `pumice.formats.shell` returns it."""

from __future__ import annotations

import msgspec

from pumice.formats.shellwords import Word


class Redirect(msgspec.Struct):
    """A redirection such as ``2>&1``: file descriptor (may be empty), operator and target.

    The target of a here-document is its text, of kind ``unknown`` if it contains expansions.
    """

    descriptor: str
    operator: str
    target: Word


class SimpleCommand(msgspec.Struct, frozen=True, tag=True):
    """A simple command: assignments, then the command and its arguments."""

    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...] = ()


class Pipeline(msgspec.Struct, frozen=True, tag=True):
    """Commands joined by ``|``."""

    commands: tuple[Command, ...]
    negated: bool = False


class AndOr(msgspec.Struct, frozen=True, tag=True):
    """Pipelines joined by ``&&`` and ``||``: the first, and the operator and pipeline of each further one."""

    first: Pipeline
    operations: tuple[tuple[str, Pipeline], ...] = ()


class If(msgspec.Struct, frozen=True, tag=True):
    """Pairs of a condition and a body in order, and the body of ``else``."""

    branches: tuple[tuple[Sequence, Sequence], ...]
    else_body: Sequence = ()


class Case(msgspec.Struct, frozen=True, tag=True):
    """A word, and pairs of patterns and a body."""

    word: Word
    branches: tuple[tuple[tuple[Word, ...], Sequence], ...]


class For(msgspec.Struct, frozen=True, tag=True):
    """A loop over words; ``words`` is None for the positional parameters."""

    name: str
    words: tuple[Word, ...] | None
    body: Sequence


class Loop(msgspec.Struct, frozen=True, tag=True):
    """A loop with a condition (``while`` or ``until``), and the here-documents it reads."""

    condition: Sequence
    body: Sequence
    is_until: bool = False
    here_documents: tuple[Redirect, ...] = ()


class Group(msgspec.Struct, frozen=True, tag=True):
    """Commands in braces or, for a ``subshell``, parentheses, and the here-documents they read."""

    body: Sequence
    subshell: bool = False
    here_documents: tuple[Redirect, ...] = ()


class FunctionDefinition(msgspec.Struct, frozen=True, tag=True):
    """A function definition."""

    name: str
    body: Command


class Redirected(msgspec.Struct, frozen=True, tag=True):
    """A compound command whose output is redirected to a file."""

    command: Command
    redirects: tuple[Redirect, ...]


Command = Redirected | SimpleCommand | If | Case | For | Loop | Group | FunctionDefinition
Sequence = tuple[AndOr, ...]
