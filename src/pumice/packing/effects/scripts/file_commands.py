"""File commands of scripts, carried out on an overlay tree: coreutils, setcap, dpkg-statoverride, ucf."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import FormatError
from pumice.packing.effects.scripts import enabled_modules
from pumice.packing.effects.scripts.command_line import CommandLine, parse_command_line
from pumice.packing.effects.scripts.file_modes import parse_mode
from pumice.packing.effects.scripts.host_directories import HostDirectories, names_host
from pumice.packing.effects.scripts.temporary_files import temporary_paths
from pumice.recipe.lock import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.packing.effects.account_ids import AccountIds
    from pumice.packing.effects.overlay_tree import OverlayTree
    from pumice.packing.effects.scripts.scope import Value
    from pumice.packing.tree import Tree


class StatOverride(msgspec.Struct, frozen=True):
    """A line of dpkg's ``statoverride`` file; ``mode`` is in octal digits."""

    user: str
    group: str
    mode: str
    path: str


Snapshot = tuple[int, dict[str, StatOverride], int]
"""A checkpoint of the overlay, the overridden attributes, and the umask."""


class ScriptCommands:
    """Runs file commands of one script after another."""

    def __init__(
        self,
        overlay: OverlayTree,
        accounts: AccountIds,
        tree: Tree,
        lock_format: int = FORMAT,
    ) -> None:
        self.overlay = overlay
        self._tree = tree
        self._format = lock_format
        self.stat_overrides: dict[str, StatOverride] = {}
        self.incomplete_files: set[str] = set()
        """Files of which a script writes an unknown part, so that they are not written at all."""
        self._host_directories = HostDirectories(overlay)
        self._accounts = accounts
        self._working_directory: Value = "/"
        self._umask_value = 0o022

    def run(self, words: Sequence[Value], working_directory: Value) -> bool | None:
        """Run a command; return False if it fails or is not literal, None if it is not a file command."""
        name = (words[0] or "").rpartition("/")[2] if words else ""
        if not is_supported(name, self._format):
            return None
        command = _FILE_COMMANDS[name]
        if names_host(words):
            replaced_words = self._host_directories.replace_words(words)
            if replaced_words is None:
                return False
            words = replaced_words
        line = parse_command_line(words[1:], _VALUE_OPTIONS.get(name, ()))
        if line is None:
            return False
        self._working_directory = working_directory
        try:
            return command(self, line)
        except ValueError:
            return False

    def supports(self, words: Sequence[Value]) -> bool:
        """Whether a command is a supported file command."""
        return bool(words) and is_supported((words[0] or "").rpartition("/")[2], self._format)

    @property
    def is_format_1(self) -> bool:
        """Whether the lock has format 1."""
        return self._format < 2

    def snapshot(self) -> Snapshot:
        """Return the current state, for `has_changed_since` and `restore`."""
        return self.overlay.checkpoint(), dict(self.stat_overrides), self._umask_value

    def has_changed_since(self, snapshot: Snapshot) -> bool:
        """Whether the state differs from ``snapshot``."""
        return (
            self.overlay.has_changed_since(snapshot[0])
            or (self.stat_overrides, self._umask_value) != snapshot[1:]
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Restore the state of ``snapshot``."""
        mark, overrides, self._umask_value = snapshot
        self.overlay.roll_back(mark)
        self.stat_overrides = dict(overrides)

    def _make_absolute_path(self, operand: str) -> str:
        """Return the absolute path of an operand; raise ValueError for a pattern or an unknown directory."""
        if (
            not operand
            or any(char in operand for char in "*?[\n\0")
            or not (operand[0] == "/" or self._working_directory)
        ):
            raise ValueError(operand)
        return posixpath.join(self._working_directory or "/", operand)

    def begin_script(self) -> None:
        """Reset the state that belongs to one script."""
        self.incomplete_files.clear()
        self._umask_value = 0o022

    # Commands

    def _umask(self, line: CommandLine) -> bool:
        if line.operands:
            self._umask_value = int(line.operands[0], 8) & 0o777
        return True

    def _mkdir(self, line: CommandLine) -> bool:
        mode = line.values.get("m") or line.values.get("mode")
        is_done = True
        for operand in line.operands:
            path = self._make_absolute_path(operand)
            if self.overlay.exists(path):
                continue
            parent = posixpath.dirname(path)
            if not (line.flags & {"p", "parents"} or parent == "/" or self.overlay.exists(parent)):
                return False
            is_done = (
                self.overlay.make_directory(
                    path, parse_mode(mode, 0o755) if mode else 0o777 & ~self._umask_value
                )
                and is_done
            )
        return is_done

    def _chown(self, line: CommandLine) -> bool:
        owner = line.operands[0] if line.operands else ""
        if "from" in line.values:
            return False
        uid, gid = self._accounts.parse_owner(owner)
        return self._change_owner(line, line.operands[1:], uid=uid, gid=gid)

    def _chgrp(self, line: CommandLine) -> bool:
        gid = self._accounts.find_group(line.operands[0] if line.operands else "")
        return self._change_owner(line, line.operands[1:], gid=gid)

    def _change_owner(
        self,
        line: CommandLine,
        operands: Sequence[str],
        *,
        uid: int | None = None,
        gid: int | None = None,
    ) -> bool:
        recursive = bool(line.flags & {"R", "recursive"})
        for operand in operands:
            path = self._make_absolute_path(operand)
            if line.flags & {"h", "no-dereference"} and self.overlay.is_symlink(path):
                continue
            targets = self.overlay.walk(path) if recursive else [path]
            if not targets:
                return False
            for target in targets:
                if recursive and self.overlay.is_symlink(target):
                    continue
                if not self.overlay.change_attributes(target, uid=uid, gid=gid):
                    return False
        return bool(operands)

    def _chmod(self, line: CommandLine) -> bool:
        flags = line.flags & {"R", "recursive", "f", "v", "c", "silent", "quiet", "verbose", "changes"}
        # a mode such as "-x" looks like a flag
        mode_flags = ["-" + "".join(sorted(line.flags - flags))] if line.flags - flags else []
        arguments = [*mode_flags, *line.operands]
        if len(arguments) < 2:
            return False
        text = arguments[0]
        for operand in arguments[1:]:
            path = self._make_absolute_path(operand)
            targets = list(self.overlay.walk(path)) if flags & {"R", "recursive"} else [path]
            if not targets:
                return False
            for target in targets:
                if len(targets) > 1 and self.overlay.is_symlink(target):
                    continue
                entry = self.overlay.entry(target)
                if entry is None:
                    return False
                mode = parse_mode(text, entry.mode, is_directory=entry.kind == "dir")
                if not self.overlay.change_attributes(target, mode=mode):
                    return False
        return True

    def _touch(self, line: CommandLine) -> bool:
        paths = [self._make_absolute_path(operand) for operand in line.operands]
        mode = 0o666 & ~self._umask_value
        successes = [self.overlay.exists(path) or self.overlay.write_file(path, b"", mode) for path in paths]
        return all(successes)

    def _link(self, line: CommandLine) -> bool:
        if not line.flags & {"s", "symbolic"} or len(line.operands) != 2:
            return False
        target, path = line.operands
        if temporary_paths(line.operands):
            return False
        if self.overlay.is_symlink_to(path, target):
            return True
        entry = self.overlay.entry(path)
        if entry is not None and entry.kind == "dir" and not line.flags & {"n", "T", "no-target-directory"}:
            path = f"{path}/{posixpath.basename(target)}"
        return self.overlay.make_symlink(
            self._make_absolute_path(path), target, force=bool(line.flags & {"f", "force"})
        )

    def _copy(self, line: CommandLine) -> bool:
        if len(line.operands) != 2 or line.flags & {"r", "R", "recursive"}:
            return False
        source, path = (self._make_absolute_path(operand) for operand in line.operands)
        content, entry = self.overlay.read(source), self.overlay.entry(source)
        if content is None or entry is None:
            return False
        path = self._destination_path(path, source)
        if line.flags & {"n", "no-clobber"} and self.overlay.exists(path):
            return True
        mode = entry.mode if line.flags & {"p", "a", "preserve"} else entry.mode & 0o777 & ~self._umask_value
        return self.overlay.write_file(path, content, mode)

    def _destination_path(self, path: str, source: str) -> str:
        entry = self.overlay.entry(path)
        return f"{path}/{posixpath.basename(source)}" if entry is not None and entry.kind == "dir" else path

    def _install(self, line: CommandLine) -> bool:
        text = line.values.get("m") or line.values.get("mode")
        mode = parse_mode(text, 0) if text else 0o755
        owner = line.values.get("o") or line.values.get("owner")
        group = line.values.get("g") or line.values.get("group")
        uid = self._accounts.find_user(owner) if owner else 0
        gid = self._accounts.find_group(group) if group else 0
        if line.flags & {"d", "directory"}:
            paths = [self._make_absolute_path(operand) for operand in line.operands]
            successes = [
                self.overlay.make_directory(path)
                and self.overlay.change_attributes(path, mode=mode, uid=uid, gid=gid)
                for path in paths
            ]
            return all(successes)
        if len(line.operands) != 2:
            return False
        source, path = (self._make_absolute_path(operand) for operand in line.operands)
        content = b"" if source == "/dev/null" else self.overlay.read(source)
        path = self._destination_path(path, source)
        if content is None or (
            line.flags & {"D"} and not self.overlay.make_directory(posixpath.dirname(path))
        ):
            return False
        return self.overlay.write_file(path, content) and self.overlay.change_attributes(
            path, mode=mode, uid=uid, gid=gid
        )

    def _move(self, line: CommandLine) -> bool:
        if len(line.operands) != 2:
            return False
        return self.overlay.rename(
            self._make_absolute_path(line.operands[0]), self._make_absolute_path(line.operands[1])
        )

    def _remove(self, line: CommandLine) -> bool:
        for operand in line.operands:
            self.overlay.discard(self._make_absolute_path(operand))
        return True

    def _enable_php(self, line: CommandLine) -> bool:
        return enabled_modules.enable_php_modules(self.overlay, self._tree, line)

    def _enable_lighttpd(self, line: CommandLine) -> bool:
        return enabled_modules.enable_lighttpd_modules(self.overlay, self._tree, line.operands)

    def _setcap(self, line: CommandLine) -> bool:
        from pumice.formats import capabilities

        if len(line.operands) != 2:
            return False
        try:
            value = capabilities.encode_capabilities(line.operands[0])
        except FormatError:
            return False
        return self.overlay.set_extended_attribute(
            self._make_absolute_path(line.operands[1]), capabilities.ATTRIBUTE, value
        )

    def _statoverride(self, line: CommandLine) -> bool:
        if "add" not in line.flags:
            if "remove" in line.flags and line.operands:
                self.stat_overrides.pop(line.operands[0], None)
            return True
        if len(line.operands) != 4:
            return False
        user, group, mode = (operand for operand in line.operands[:3])
        path = self._make_absolute_path(line.operands[3])
        digits = f"{parse_mode(mode, 0):o}"
        if "update" in line.flags and self.overlay.exists(path):
            uid, gid = self._accounts.find_user(user), self._accounts.find_group(group)
            self.overlay.change_attributes(path, uid=uid, gid=gid, mode=int(digits, 8))
        self.stat_overrides[path] = StatOverride(user, group, digits, path)
        return True

    def _ucf(self, line: CommandLine) -> bool:
        if len(line.operands) != 2 or "purge" in line.flags or "p" in line.flags:
            return len(line.operands) == 1
        source, path = (self._make_absolute_path(operand) for operand in line.operands)
        content, entry = self.overlay.read(source), self.overlay.entry(source)
        if content is None or entry is None:
            return False
        return self.overlay.exists(path) or self.overlay.write_file(path, content, entry.mode)


_FILE_COMMANDS: dict[str, Callable[[ScriptCommands, CommandLine], bool]] = {
    "mkdir": ScriptCommands._mkdir,
    "chown": ScriptCommands._chown,
    "chgrp": ScriptCommands._chgrp,
    "chmod": ScriptCommands._chmod,
    "touch": ScriptCommands._touch,
    "ln": ScriptCommands._link,
    "cp": ScriptCommands._copy,
    "install": ScriptCommands._install,
    "mv": ScriptCommands._move,
    "rm": ScriptCommands._remove,
    "umask": ScriptCommands._umask,
    "a2enmod": lambda commands, line: enabled_modules.enable_apache_modules(
        commands.overlay, line.operands, "mods"
    ),
    "a2enconf": lambda commands, line: enabled_modules.enable_apache_modules(
        commands.overlay, line.operands, "conf"
    ),
    "a2ensite": lambda commands, line: enabled_modules.enable_apache_modules(
        commands.overlay, line.operands, "sites"
    ),
    "phpenmod": ScriptCommands._enable_php,
    "lighty-enable-mod": ScriptCommands._enable_lighttpd,
    "setcap": ScriptCommands._setcap,
    "dpkg-statoverride": ScriptCommands._statoverride,
    "ucf": ScriptCommands._ucf,
}
_VALUE_OPTIONS = {
    "mkdir": ("m", "mode"),
    "install": ("m", "mode", "o", "owner", "g", "group"),
    "chown": ("from", "reference"),
    "ucf": ("sum-file", "src-dir", "state-dir"),
    "touch": ("r", "t", "d", "reference", "date"),
    "dpkg-statoverride": ("admindir",),
    "phpenmod": ("v", "s"),
}
_FIRST_FORMAT = {"phpenmod": 2, "lighty-enable-mod": 2}
"""The first lock format that supports a command; 1 for all others."""


def is_supported(name: str, lock_format: int) -> bool:
    """Whether ``lock_format`` supports the file command ``name``."""
    return name in _FILE_COMMANDS and _FIRST_FORMAT.get(name, 1) <= lock_format
