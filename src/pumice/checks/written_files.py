"""Log files and process id files that the command or the recipe's own configuration names.

Only these are certainly written: a program's default configuration can be overridden, and a socket below
``/run`` may belong to another program.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

import msgspec

from pumice.checks.accounts import process_user
from pumice.checks.finding import Finding
from pumice.checks.reach import commands
from pumice.formats.tar import Entry
from pumice.packing.tree import RECIPE_OWNER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.checks.accounts import ProcessUser
    from pumice.checks.model import CheckedImage

_PATH = re.compile(r"(?<![\w./$}~-])/(?:var/log|run|var/run)(?:/[\w.+@-]+)+(?![\w./*$%{-])")
_CONFIGURATION = "etc/"
_NOT_OF_SERVERS = ("etc/logrotate.d/", "etc/cron", "etc/init.d/", "etc/default/")
_MAX_TEXT = 1 << 18


class _WrittenFile(msgspec.Struct, frozen=True):
    """A path that is written, the file that names it (empty for the command), and the recipe's key."""

    path: str
    origin: str
    key: str


def check_written_files(image: CheckedImage) -> Iterator[Finding]:
    """Yield a finding for each such file whose directory is missing, or that the user cannot write."""
    user = process_user(image)
    for file in dict.fromkeys((*_files_of_commands(image), *_files_of_configuration(image))):
        if any(f"{file.path}/".startswith(f"{volume.rstrip('/')}/") for volume in image.run.volumes):
            continue  # whoever mounts the volume decides
        finding = _check_writable(image, file, user)
        if finding is not None:
            yield finding


def _files_of_commands(image: CheckedImage) -> Iterator[_WrittenFile]:
    key, words = next(commands(image), ("", ()))
    option = ""
    for word in words[1:]:
        name, _, value = word.rpartition("=")
        if _PATH.fullmatch(value) and _is_written(value, name or option):
            yield _WrittenFile(value, "", key)
        option = word if word.startswith("-") else ""


def _files_of_configuration(image: CheckedImage) -> Iterator[_WrittenFile]:
    """Yield what the recipe's own files say that are below ``/etc`` or that the command reaches."""
    for path, node in image.tree.nodes.items():
        is_configuration = path.startswith(_CONFIGURATION) and not path.startswith(_NOT_OF_SERVERS)
        if node.owner != RECIPE_OWNER or not (is_configuration or path in image.reach.files):
            continue
        text = image.read_text(path, _MAX_TEXT)
        if "\0" in text or text.startswith("#!"):
            continue
        for line in text.splitlines():
            if not line.lstrip().startswith(("#", ";", "//")):
                for match in _PATH.finditer(line):
                    if _is_written(match[0], line[: match.start()]):
                        yield _WrittenFile(match[0], f"/{path}", "files")


def _is_written(path: str, context: str) -> bool:
    """Whether a program writes ``path``, of which ``context`` says what it is for."""
    return path.startswith("/var/log/") or "pid" in context.lower()


def _check_writable(image: CheckedImage, file: _WrittenFile, user: ProcessUser | None) -> Finding | None:
    origin = file.origin or "the command"
    directory = posixpath.dirname(file.path)
    owner = "" if user is None or user.uid == 0 else f", owner: {user.name}"
    if not image.tree.is_directory(directory):
        return Finding(
            check="written-file",
            message=f"the directory of {file.path}, which {origin} names, does not exist",
            hint=f"add '{{directory: true, to: {directory}{owner}}}' under 'files'",
            key=file.key,
            path=file.path,
        )
    entry = image.entry(file.path)
    if entry is None and _is_link(image, file.path):
        return None  # such as to /dev/stdout
    target = entry or image.entry(directory) or Entry(path=directory, kind="dir", mode=0o755)
    if user is None or target.kind not in ("file", "dir") or user.can_write(target):
        return None
    return Finding(
        check="written-file",
        message=f"the user {user.name!r} cannot write {file.path}, which {origin} names (owner {target.uid}, "
        f"mode {target.mode & 0o7777:04o})",
        hint=f"write to standard output or /tmp, or change the 'owner' of {directory} under 'permissions'",
        key=file.key,
        path=file.path,
    )


def _is_link(image: CheckedImage, path: str) -> bool:
    parent = image.tree.resolve(posixpath.dirname(path))
    node = image.tree.get(f"{parent}/{posixpath.basename(path)}".lstrip("/"))
    return node is not None and node.entry.kind == "symlink"
