"""The effect that writes shells(5)."""

from __future__ import annotations

from pumice.formats.lines import split_lines
from pumice.packing.effects.model import EffectInput, EffectResult, file_entry

_HEADER = "# /etc/shells: valid login shells\n"


def list_shells(inputs: EffectInput) -> EffectResult:
    """Return ``/etc/shells`` from ``/usr/share/debianutils/shells.d`` and calls of add-shell(8)."""
    tree = inputs.tree
    shells: dict[str, None] = {}
    for path in tree.children("usr/share/debianutils/shells.d"):
        if tree.is_file(path):
            for line in split_lines(tree.read(path).decode("utf-8", "replace")):
                if line.startswith("/"):
                    shells |= dict.fromkeys((line, *_find_merged_usr_aliases(inputs, line)))
    for actions in inputs.actions.values():
        for action in actions:
            if action.words and (action.words[0] or "").rpartition("/")[2] == "add-shell":
                shells |= dict.fromkeys(word for word in action.words[1:] if word and word.startswith("/"))
    if not shells or "etc/shells" in tree.nodes:
        return EffectResult()
    text = _HEADER + "".join(f"{shell}\n" for shell in sorted(shells) if tree.resolve(shell))
    return EffectResult(generated=(file_entry("etc/shells", text.encode(), "effect:shells"),))


def _find_merged_usr_aliases(inputs: EffectInput, shell: str) -> tuple[str, ...]:
    """Return the path of a shell below ``/usr``, if the merged ``/usr`` gives it one."""
    return (f"/usr{shell}",) if shell.startswith("/bin/") and inputs.tree.resolve(f"/usr{shell}") else ()
