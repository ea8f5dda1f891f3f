"""The effect that writes shells(5)."""

from __future__ import annotations

from pumice.packing.effects.model import EffectInput, EffectResult, file_entry

_SHELLS_HEAD = "# /etc/shells: valid login shells\n"


def list_shells(given: EffectInput) -> EffectResult:
    """Return ``/etc/shells`` from ``/usr/share/debianutils/shells.d`` and calls of add-shell(8)."""
    tree = given.tree
    listed: dict[str, None] = {}
    for path in tree.children("usr/share/debianutils/shells.d"):
        if tree.is_file(path):
            for line in tree.read(path).decode("utf-8", "replace").splitlines():
                if line.startswith("/"):
                    listed |= dict.fromkeys((line, *_aliases(given, line)))
    for actions in given.actions.values():
        for action in actions:
            if action.words and (action.words[0] or "").rpartition("/")[2] == "add-shell":
                listed |= dict.fromkeys(word for word in action.words[1:] if word and word.startswith("/"))
    if not listed or "etc/shells" in tree.nodes:
        return EffectResult()
    text = _SHELLS_HEAD + "".join(f"{shell}\n" for shell in sorted(listed) if tree.resolve(shell))
    return EffectResult(generated=(file_entry("etc/shells", text.encode(), "effect:shells"),))


def _aliases(given: EffectInput, shell: str) -> tuple[str, ...]:
    """Return the other name of a shell that the merged ``/usr`` gives it."""
    return (f"/usr{shell}",) if shell.startswith("/bin/") and given.tree.resolve(f"/usr{shell}") else ()
