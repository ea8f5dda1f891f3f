"""The overview that ``pumice --help`` prints: the commands in groups."""

from __future__ import annotations

import os
import sys

from pumice.cli.commands import ALIASES, COMMANDS

_BRIEF_GROUP = "More"
"""The group whose commands the overview lists without their lines of help."""


def print_overview() -> None:
    """Print the overview, in color if the terminal has it."""
    text = format_overview()
    if sys.stdout.isatty() or os.environ.get("FORCE_COLOR"):
        from pumice.cli.display import streams
        from pumice.cli.parsing import help_color

        if streams.has_color(sys.stdout):
            headings = [line for line in text.splitlines() if line.endswith(":") and line[0] != " "]
            text = help_color.color_help(text, headings, COMMANDS)
    sys.stdout.write(text)


def format_overview() -> str:
    """Return the text of ``pumice --help``."""
    lines = [
        "Build, sign, ship and run small OCI images made from Debian packages.",
        "",
        "usage: pumice COMMAND [ARGUMENT...]",
    ]
    width = max(len(verb) for verb, command in COMMANDS.items() if command[2] != _BRIEF_GROUP) + 2
    group = ""
    for verb, (_, summary, command_group) in COMMANDS.items():
        if command_group == _BRIEF_GROUP:
            continue
        if command_group != group:
            lines += ["", f"{command_group}:"]
            group = command_group
        lines.append(f"  {verb:<{width}}{summary}")
    brief_verbs = [verb for verb, command in COMMANDS.items() if command[2] == _BRIEF_GROUP]
    lines += ["", "More commands:", f"  {', '.join(brief_verbs)}"]
    aliases = [f"{alias} = {verb}" for alias, verb in ALIASES.items()]
    lines += [
        "",
        "Other names:",
        *(f"  {', '.join(aliases[at : at + 4])}" for at in range(0, len(aliases), 4)),
    ]
    lines += [
        "",
        "Run 'pumice help COMMAND' for more about a command, or 'pumice --version'.",
        "To get started, run 'pumice init', then 'pumice build recipe.yaml'.",
        "",
    ]
    return "\n".join(lines)
