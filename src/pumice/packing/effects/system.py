"""Small files that an installed system has: shells, name service switch, machine id, temporary folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.packing.effects.model import Given, Result, directory, file

if TYPE_CHECKING:
    from pumice.packing.tree import Generated

_NSSWITCH = "etc/nsswitch.conf"
_TEMPLATES = ("usr/share/libc-bin/nsswitch.conf", "usr/share/base-files/nsswitch.conf")
_PLAIN_NSSWITCH = b"""\
passwd:         files
group:          files
shadow:         files
gshadow:        files

hosts:          files dns
networks:       files

protocols:      db files
services:       db files
ethers:         db files
rpc:            db files

netgroup:       nis
"""
_NEEDS_MACHINE_ID = ("systemd", "dbus", "dbus-daemon")
_SHELLS_HEAD = "# /etc/shells: valid login shells\n"


def name_service(given: Given) -> Result:
    """Return nsswitch.conf(5) from the C library's template, or the same text where that is absent."""
    tree = given.tree
    if _NSSWITCH in tree.nodes or not any(package.name == "libc6" for package in tree.packages):
        return Result()
    template = next((path for path in _TEMPLATES if path in tree.nodes), None)
    content = tree.read(template) if template else _PLAIN_NSSWITCH
    return Result(generated=(file(_NSSWITCH, content, "effect:nsswitch"),))


def shells(given: Given) -> Result:
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
        return Result()
    text = _SHELLS_HEAD + "".join(f"{shell}\n" for shell in sorted(listed) if tree.resolve(shell))
    return Result(generated=(file("etc/shells", text.encode(), "effect:shells"),))


def _aliases(given: Given, shell: str) -> tuple[str, ...]:
    """Return the other name of a shell that the merged ``/usr`` gives it."""
    return (f"/usr{shell}",) if shell.startswith("/bin/") and given.tree.resolve(f"/usr{shell}") else ()


def machine_id(given: Given) -> Result:
    """Return an empty machine-id(5), which means "to be initialised", if something reads it."""
    names = {package.name for package in given.tree.packages if package.installed}
    if not names.intersection(_NEEDS_MACHINE_ID) or "etc/machine-id" in given.tree.nodes:
        return Result()
    return Result(generated=(file("etc/machine-id", b"", "effect:machine-id"),))


def temporary(given: Given) -> Result:
    """Return the directories for temporary files, so that every image has them with the right mode."""
    if given.settings.base == "none":
        return Result()
    wanted = (("tmp", 0o1777), ("var", 0o755), ("var/tmp", 0o1777), ("run", 0o755), ("root", 0o700))
    made: list[Generated] = []
    for path, mode in wanted:
        node = given.tree.get(path)
        if node is None or (node.entry.kind == "dir" and path.endswith("tmp") and node.entry.mode != mode):
            made.append(directory(path, "effect:temporary", mode=mode))
    return Result(generated=tuple(made))
