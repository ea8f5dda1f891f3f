"""``pumice completion``: print a script that completes commands, options, values and images."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pumice.cli.parsing.arguments import make_parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

# The scripts ask the program, ``pumice __complete``, so that one implementation serves all shells and is
# never out of date.
BASH = """\
# bash completion for pumice: source this file, or put it into
# ~/.local/share/bash-completion/completions/pumice
_pumice() {
    local word=${COMP_WORDS[COMP_CWORD]} line directive first=1
    case $word in [:=]) word= ;; esac
    COMPREPLY=()
    while IFS= read -r line; do
        if [ "$first" = 1 ]; then
            directive=$line first=0
        else
            COMPREPLY+=("${line%%$'\\t'*}")
        fi
    done < <(COMP_WORDBREAKS=$COMP_WORDBREAKS \
        "${COMP_WORDS[0]}" __complete bash "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
    case $directive in
        files) compopt -o filenames 2>/dev/null
            while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$word") ;;
        directories) compopt -o filenames 2>/dev/null
            while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -d -- "$word") ;;
        nospace) compopt -o nospace 2>/dev/null ;;
    esac
}
complete -F _pumice pumice
"""

ZSH = """\
#compdef pumice
# zsh completion for pumice: put it into a directory of $fpath as _pumice
_pumice() {
    local -a lines candidates displayed
    local line directive
    lines=("${(@f)$("${words[1]}" __complete zsh "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    directive=$lines[1]
    for line in "${(@)lines[2,-1]}"; do
        candidates+=("${line%%$'\\t'*}")
        displayed+=("${line%%$'\\t'*}  ${line#*$'\\t'}")
    done
    case $directive in
        nospace) compadd -S '' -l -d displayed -a candidates ;;
        *) compadd -l -d displayed -a candidates ;;
    esac
    case $directive in
        files) _files ;;
        directories) _files -/ ;;
    esac
}
if [ "$funcstack[1]" = _pumice ]; then _pumice "$@"; else compdef _pumice pumice; fi
"""

FISH = """\
# fish completion for pumice: put it into ~/.config/fish/completions/pumice.fish
function __pumice_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -l lines ($before[1] __complete fish $before "$current" 2>/dev/null)
    set -l directive $lines[1]
    set -e lines[1]
    printf '%s\\n' $lines
    switch $directive
        case files
            __fish_complete_path "$current"
        case directories
            __fish_complete_directories "$current"
    end
end
complete -c pumice -f -a '(__pumice_complete)'
"""

_SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice completion``."""
    parser = make_parser(
        "completion",
        "Print a completion script for a shell.",
        progress=False,
        examples=(
            "pumice completion bash > ~/.local/share/bash-completion/completions/pumice",
            "pumice completion fish > ~/.config/fish/completions/pumice.fish",
        ),
    )
    parser.add_argument("shell", choices=tuple(_SCRIPTS), metavar="SHELL", help="bash, zsh or fish")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Print the completion script for one shell."""
    sys.stdout.write(_SCRIPTS[parser().parse_args(arguments).shell])
    return 0
