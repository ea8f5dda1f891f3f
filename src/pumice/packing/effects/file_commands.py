"""File commands of scripts, done on a canvas: coreutils, setcap, dpkg-statoverride and ucf."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import FormatError
from pumice.packing.effects import modules, options
from pumice.recipe.lock import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.packing.effects.overlay_tree import Canvas
    from pumice.packing.effects.scope import Value
    from pumice.packing.tree import Tree

_SYMBOLIC = re.compile(r"([ugoa]*)([=+-])([rwxXst]*)")
_BITS = {"r": 4, "w": 2, "x": 1}


class Override(msgspec.Struct, frozen=True):
    """One line of dpkg's ``statoverride``: names as stated, ``mode`` in octal digits."""

    user: str
    group: str
    mode: str
    path: str


State = tuple[int, dict[str, Override], int]
"""What was done so far: the canvas's mark, attributes kept by hand, and the mask of new files."""


class Hand:
    """Draws for one script after the other; ids come from the image's own account files."""

    def __init__(
        self,
        canvas: Canvas,
        users: dict[str, tuple[int, int]],
        groups: dict[str, int],
        tree: Tree,
        lock_format: int = FORMAT,
    ) -> None:
        self.canvas = canvas
        self._tree = tree
        self._format = lock_format
        self.overrides: dict[str, Override] = {}
        self.unknown_files: set[str] = set()
        """Files of which a script wrote something that is not known: the rest would be half of them."""
        self._users = users
        self._groups = groups
        self._folder: Value = "/"
        self._mask = 0o022

    def does(self, words: Sequence[Value], folder: Value) -> bool | None:
        """Do a command. False: it cannot be done; None: it is no file command."""
        name = (words[0] or "").rpartition("/")[2] if words else ""
        if not is_done(name, self._format):
            return None
        command = _COMMANDS[name]
        line = options.parse(words[1:], _VALUED.get(name, ()))
        if line is None:
            return False
        self._folder = folder
        try:
            return command(self, line)
        except ValueError:
            return False

    def knows(self, words: Sequence[Value]) -> bool:
        """Whether a command is one that can be done here."""
        return bool(words) and is_done((words[0] or "").rpartition("/")[2], self._format)

    @property
    def is_old(self) -> bool:
        """Whether the lock is of the first format."""
        return self._format < 2

    def state(self) -> State:
        """Return all that was done so far, for `restore`."""
        return self.canvas.mark(), dict(self.overrides), self._mask

    def is_changed(self, state: State) -> bool:
        """Whether anything was done since `state`."""
        return self.canvas.is_changed(state[0]) or (self.overrides, self._mask) != state[1:]

    def restore(self, state: State) -> None:
        """Take back what was done since `state`."""
        mark, overrides, self._mask = state
        self.canvas.go_back(mark)
        self.overrides = dict(overrides)

    def _path(self, operand: str) -> str:
        """Return the absolute path that an operand means; raises ValueError if that is not known."""
        if (
            not operand
            or any(char in operand for char in "*?[\n\0")
            or not (operand[0] == "/" or self._folder)
        ):
            raise ValueError(operand)
        return posixpath.join(self._folder or "/", operand)

    def _owner(self, text: str) -> tuple[int | None, int | None]:
        user, colon, group = text.partition(":")
        if not colon and "." in text and user not in self._users:
            user, colon, group = text.partition(".")
        uid: int | None = None
        gid: int | None = None
        if user:
            uid, primary = (int(user), None) if user.isdecimal() else self._user(user)
            gid = primary if colon and not group else None
        if group:
            gid = self._group(group)
        return uid, gid

    def _user(self, name: str) -> tuple[int, int | None]:
        if name not in self._users:
            raise ValueError(name)
        return self._users[name]

    def _group(self, name: str) -> int:
        if name.isdecimal():
            return int(name)
        if name not in self._groups:
            raise ValueError(name)
        return self._groups[name]

    def start(self) -> None:
        """Begin another script."""
        self.unknown_files.clear()
        self._mask = 0o022

    # Commands

    def _umask(self, line: options.Line) -> bool:
        if line.operands:
            self._mask = int(line.operands[0], 8) & 0o777
        return True

    def _mkdir(self, line: options.Line) -> bool:
        mode = line.values.get("m") or line.values.get("mode")
        done = True
        for operand in line.operands:
            path = self._path(operand)
            if self.canvas.exists(path):
                continue
            parent = posixpath.dirname(path)
            if not (line.flags & {"p", "parents"} or parent == "/" or self.canvas.exists(parent)):
                return False
            done = self.canvas.directory(path, _mode(mode, 0o755) if mode else 0o777 & ~self._mask) and done
        return done

    def _chown(self, line: options.Line) -> bool:
        owner = line.operands[0] if line.operands else ""
        if "from" in line.values:
            return False
        uid, gid = self._owner(owner)
        return self._change(line, line.operands[1:], uid=uid, gid=gid)

    def _chgrp(self, line: options.Line) -> bool:
        gid = self._group(line.operands[0] if line.operands else "")
        return self._change(line, line.operands[1:], gid=gid)

    def _change(
        self, line: options.Line, operands: Sequence[str], *, uid: int | None = None, gid: int | None = None
    ) -> bool:
        recursive = bool(line.flags & {"R", "recursive"})
        for operand in operands:
            path = self._path(operand)
            if line.flags & {"h", "no-dereference"} and self.canvas.is_link(path):
                continue
            targets = self.canvas.below(path) if recursive else [path]
            if not targets:
                return False
            for target in targets:
                if recursive and self.canvas.is_link(target):
                    continue
                if not self.canvas.change(target, uid=uid, gid=gid):
                    return False
        return bool(operands)

    def _chmod(self, line: options.Line) -> bool:
        flags = line.flags & {"R", "recursive", "f", "v", "c", "silent", "quiet", "verbose", "changes"}
        # "-x" looks like a flag and is a mode
        given = ["-" + "".join(sorted(line.flags - flags))] if line.flags - flags else []
        words = [*given, *line.operands]
        if len(words) < 2:
            return False
        text = words[0]
        for operand in words[1:]:
            path = self._path(operand)
            targets = list(self.canvas.below(path)) if flags & {"R", "recursive"} else [path]
            if not targets:
                return False
            for target in targets:
                if len(targets) > 1 and self.canvas.is_link(target):
                    continue
                entry = self.canvas.entry(target)
                if entry is None:
                    return False
                mode = _mode(text, entry.mode, directory=entry.kind == "dir")
                if not self.canvas.change(target, mode=mode):
                    return False
        return True

    def _touch(self, line: options.Line) -> bool:
        paths = [self._path(operand) for operand in line.operands]
        mode = 0o666 & ~self._mask
        done = [self.canvas.exists(path) or self.canvas.file(path, b"", mode) for path in paths]
        return all(done)

    def _link(self, line: options.Line) -> bool:
        if not line.flags & {"s", "symbolic"} or len(line.operands) != 2:
            return False
        target, path = line.operands
        if self.canvas.reads_as(path, target):
            return True
        entry = self.canvas.entry(path)
        if entry is not None and entry.kind == "dir" and not line.flags & {"n", "T", "no-target-directory"}:
            path = f"{path}/{posixpath.basename(target)}"
        return self.canvas.link(self._path(path), target, force=bool(line.flags & {"f", "force"}))

    def _copy(self, line: options.Line) -> bool:
        if len(line.operands) != 2 or line.flags & {"r", "R", "recursive"}:
            return False
        source, path = (self._path(operand) for operand in line.operands)
        content, entry = self.canvas.read(source), self.canvas.entry(source)
        if content is None or entry is None:
            return False
        path = self._into(path, source)
        if line.flags & {"n", "no-clobber"} and self.canvas.exists(path):
            return True
        mode = entry.mode if line.flags & {"p", "a", "preserve"} else entry.mode & 0o777 & ~self._mask
        return self.canvas.file(path, content, mode)

    def _into(self, path: str, source: str) -> str:
        entry = self.canvas.entry(path)
        return f"{path}/{posixpath.basename(source)}" if entry is not None and entry.kind == "dir" else path

    def _install(self, line: options.Line) -> bool:
        text = line.values.get("m") or line.values.get("mode")
        mode = _mode(text, 0) if text else 0o755
        owner = line.values.get("o") or line.values.get("owner")
        group = line.values.get("g") or line.values.get("group")
        uid = self._user(owner)[0] if owner and not owner.isdecimal() else int(owner or 0)
        gid = self._group(group) if group else 0
        if line.flags & {"d", "directory"}:
            paths = [self._path(operand) for operand in line.operands]
            done = [
                self.canvas.directory(path) and self.canvas.change(path, mode=mode, uid=uid, gid=gid)
                for path in paths
            ]
            return all(done)
        if len(line.operands) != 2:
            return False
        source, path = (self._path(operand) for operand in line.operands)
        content = b"" if source == "/dev/null" else self.canvas.read(source)
        path = self._into(path, source)
        if content is None or (line.flags & {"D"} and not self.canvas.directory(posixpath.dirname(path))):
            return False
        return self.canvas.file(path, content) and self.canvas.change(path, mode=mode, uid=uid, gid=gid)

    def _move(self, line: options.Line) -> bool:
        if len(line.operands) != 2:
            return False
        return self.canvas.move(self._path(line.operands[0]), self._path(line.operands[1]))

    def _remove(self, line: options.Line) -> bool:
        for operand in line.operands:
            self.canvas.forget(self._path(operand))
        return True

    def _enable_php(self, line: options.Line) -> bool:
        return modules.enable_php(self.canvas, self._tree, line)

    def _setcap(self, line: options.Line) -> bool:
        from pumice.formats import capabilities

        if len(line.operands) != 2:
            return False
        try:
            value = capabilities.encode_capabilities(line.operands[0])
        except FormatError:
            return False
        return self.canvas.attribute(self._path(line.operands[1]), capabilities.ATTRIBUTE, value)

    def _statoverride(self, line: options.Line) -> bool:
        if "add" not in line.flags:
            if "remove" in line.flags and line.operands:
                self.overrides.pop(line.operands[0], None)
            return True
        if len(line.operands) != 4:
            return False
        user, group, mode = (operand for operand in line.operands[:3])
        path = self._path(line.operands[3])
        digits = f"{_mode(mode, 0):o}"
        if "update" in line.flags and self.canvas.exists(path):
            uid, gid = self._user(user)[0] if not user.isdecimal() else int(user), self._group(group)
            self.canvas.change(path, uid=uid, gid=gid, mode=int(digits, 8))
        self.overrides[path] = Override(user, group, digits, path)
        return True

    def _ucf(self, line: options.Line) -> bool:
        if len(line.operands) != 2 or "purge" in line.flags or "p" in line.flags:
            return len(line.operands) == 1
        source, path = (self._path(operand) for operand in line.operands)
        content, entry = self.canvas.read(source), self.canvas.entry(source)
        if content is None or entry is None:
            return False
        return self.canvas.exists(path) or self.canvas.file(path, content, entry.mode)


def _mode(text: str, old: int, *, directory: bool = False) -> int:
    """Return a mode (``0640``, ``u+s,go-w``) applied to ``old``; raises ValueError if it is malformed."""
    if text.isdecimal():
        value = int(text, 8)
        if value > 0o7777:
            raise ValueError(text)
        return value | (old & 0o6000 if directory and len(text) < 5 else 0)
    for clause in text.split(","):
        match = _SYMBOLIC.fullmatch(clause)
        if not match:
            raise ValueError(text)
        old = _applied(old, *match.groups(), directory=directory)
    return old


def _applied(old: int, who: str, operator: str, what: str, *, directory: bool) -> int:
    everyone = not who or "a" in who
    shifts = {"u": 6, "g": 3, "o": 0}
    mask = bits = 0
    for letter, shift in shifts.items():
        if not everyone and letter not in who:
            continue
        mask |= 7 << shift
        for permission, bit in _BITS.items():
            executes = permission == "x" and "X" in what and (directory or old & 0o111)
            if permission in what or executes:
                bits |= bit << shift
    if "s" in what:
        bits |= (0o4000 if everyone or "u" in who else 0) | (0o2000 if everyone or "g" in who else 0)
    if "t" in what:
        bits |= 0o1000
    if operator == "+":
        return old | bits
    return old & ~bits if operator == "-" else old & ~mask | bits


_COMMANDS: dict[str, Callable[[Hand, options.Line], bool]] = {
    "mkdir": Hand._mkdir,
    "chown": Hand._chown,
    "chgrp": Hand._chgrp,
    "chmod": Hand._chmod,
    "touch": Hand._touch,
    "ln": Hand._link,
    "cp": Hand._copy,
    "install": Hand._install,
    "mv": Hand._move,
    "rm": Hand._remove,
    "umask": Hand._umask,
    "a2enmod": lambda hand, line: modules.enable_apache(hand.canvas, line.operands, "mods"),
    "a2enconf": lambda hand, line: modules.enable_apache(hand.canvas, line.operands, "conf"),
    "a2ensite": lambda hand, line: modules.enable_apache(hand.canvas, line.operands, "sites"),
    "phpenmod": Hand._enable_php,
    "setcap": Hand._setcap,
    "dpkg-statoverride": Hand._statoverride,
    "ucf": Hand._ucf,
}
_VALUED = {
    "mkdir": ("m", "mode"),
    "install": ("m", "mode", "o", "owner", "g", "group"),
    "chown": ("from", "reference"),
    "ucf": ("sum-file", "src-dir", "state-dir"),
    "touch": ("r", "t", "d", "reference", "date"),
    "dpkg-statoverride": ("admindir",),
    "phpenmod": ("v", "s"),
}
_SINCE = {"phpenmod": 2}
"""The format of the lock from which on a command is done; all others always are."""


def is_done(name: str, lock_format: int) -> bool:
    """Whether a command of this name is one that can be done here."""
    return name in _COMMANDS and _SINCE.get(name, 1) <= lock_format
