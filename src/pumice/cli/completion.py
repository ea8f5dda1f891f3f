"""``pumice completion``: print a script that completes commands and their options."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pumice.cli.arguments import make_parser
from pumice.cli.main import COMMANDS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

# The scripts read options from the help text when needed, so that they are never out of date.
BASH = """\
# bash completion for pumice: source this file, or put it into
# ~/.local/share/bash-completion/completions/pumice
_pumice() {
    local word=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]}
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "@VERBS@ help --help --version" -- "$word"))
    elif [ "$verb" = help ]; then
        COMPREPLY=($(compgen -W "@VERBS@" -- "$word"))
    elif [[ $word == -* ]]; then
        local options=$(pumice help "$verb" 2>/dev/null | grep -oE -- '--[a-z][a-z0-9-]*' | sort -u)
        COMPREPLY=($(compgen -W "$options" -- "$word"))
    else
        COMPREPLY=($(compgen -f -- "$word"))
    fi
}
complete -o filenames -F _pumice pumice
"""

ZSH = """\
#compdef pumice
# zsh completion for pumice: put it into a directory of $fpath as _pumice
_pumice() {
    local -a verbs options
    verbs=(
@DESCRIBED@
    )
    if (( CURRENT == 2 )); then
        _describe command verbs
    elif [[ $words[2] == help ]]; then
        _describe command verbs
    elif [[ $PREFIX == -* ]]; then
        options=(${(fu)"$(pumice help $words[2] 2>/dev/null | grep -oE -- '--[a-z][a-z0-9-]*')"})
        compadd -- $options
    else
        _files
    fi
}
if [ "$funcstack[1]" = _pumice ]; then _pumice "$@"; else compdef _pumice pumice; fi
"""

FISH = """\
# fish completion for pumice: put it into ~/.config/fish/completions/pumice.fish
function __pumice_options
    set -l verb (commandline -opc)[2]
    pumice help $verb 2>/dev/null | string match -ar -- '--[a-z][a-z0-9-]*' | sort -u
end
complete -c pumice -n __fish_use_subcommand -f
@DESCRIBED@
complete -c pumice -n 'not __fish_use_subcommand; and string match -q -- "-*" (commandline -ct)' \\
    -f -a '(__pumice_options)'
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice completion``."""
    parser = make_parser("completion", "Print a completion script for a shell.", progress=False)
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Print the completion script for one shell."""
    shell: str = parser().parse_args(arguments).shell
    sys.stdout.write({"bash": _format_bash, "zsh": _format_zsh, "fish": _format_fish}[shell]())
    return 0


def _format_bash() -> str:
    return BASH.replace("@VERBS@", " ".join(COMMANDS))


def _format_zsh() -> str:
    lines = [f"        {_quote(f'{verb}:{summary}')}" for verb, (_, summary, _) in COMMANDS.items()]
    return ZSH.replace("@DESCRIBED@", "\n".join(lines))


def _format_fish() -> str:
    lines = [
        f"complete -c pumice -n __fish_use_subcommand -f -a {verb} -d {_quote(summary)}"
        for verb, (_, summary, _) in COMMANDS.items()
    ]
    return FISH.replace("@DESCRIBED@", "\n".join(lines))


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
