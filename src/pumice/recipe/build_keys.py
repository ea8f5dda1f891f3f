"""The tables of a recipe's keys for steps of the build: excluded paths, bytecode, commands, checks."""

from __future__ import annotations

from typing import get_args

from pumice.recipe import grammar, model
from pumice.recipe.kinds import Choice, Duration, Flag, Key, ListOf, Table, Text

ANY_TEXT = Text(loose=True, allows_empty=True)
COMMAND = ListOf(ANY_TEXT, single=True, merge="replace", min_length=1)

EXCLUDE = Table(
    model.ExcludeRule,
    (
        Key(
            "paths",
            ListOf(
                Text(grammar.EXCLUDED, grammar.parse_excluded), single=True, merge="replace", min_length=1
            ),
            "Paths or patterns, absolute if they start with `/`.",
            "/usr/share/javascript/moment-timezone/**",
            True,
        ),
        Key(
            "package",
            Text(grammar.PACKAGE),
            "Leave them out of this package only.",
            "libjs-moment-timezone",
        ),
    ),
    shorthand="paths",
)

SLICES = Table(
    model.SliceSource,
    (
        Key(
            "release",
            Text(grammar.RELEASE, path="dotted"),
            "The directory or archive of the release, or one that comes with Pumice (default: the suite's).",
            "./chisel-releases",
        ),
        Key(
            "overlay",
            ListOf(Text(grammar.FILE, path="always"), identity="value"),
            "Directories with definitions that replace those of the release.",
            "[slices]",
        ),
    ),
)

PYTHON = Table(
    model.Python,
    (Key("bytecode", Flag(), "Compile the Python files of the image to bytecode.", "true"),),
)

GENERATE = Table(
    model.GenerateCommand,
    (
        Key("command", COMMAND, "A program of the image, and its arguments.", "[/usr/bin/fc-cache]", True),
        Key(
            "paths",
            ListOf(Text(grammar.PATH), identity="value", min_length=1),
            "The files and directories to keep; without it, all changes outside of temporary directories.",
            "[/var/cache/fontconfig]",
        ),
        Key("timeout", Duration(), "The longest time that the command may run (default: 10m).", "1h"),
    ),
    shorthand="command",
)

IGNORED_FINDING = Table(
    model.IgnoredFinding,
    (
        Key("check", Choice(get_args(model.CheckName)), "The check whose findings to ignore.", "link", True),
        Key("path", Text(grammar.PATH), "Ignore findings about this path only.", "/etc/app.conf"),
        Key("reason", Text(loose=True), "Why they are right as they are.", "mounted at run time", True),
    ),
)

CHECKS = Table(
    model.Checks,
    (
        Key(
            "ignore",
            ListOf(IGNORED_FINDING),
            "Findings to ignore, with a reason.",
            '[{check: link, path: /etc/app.conf, reason: "mounted at run time"}]',
        ),
    ),
)
