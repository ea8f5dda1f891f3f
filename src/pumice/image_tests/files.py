"""Checks of files and of the config of an image. Nothing is run."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import ImageError
from pumice.image import layer_scan
from pumice.image.flatten import flatten
from pumice.image_tests.matching import check_text, matches_whole
from pumice.image_tests.outcome import Failure
from pumice.packing.tree import Node, Tree
from pumice.runtime import prepared_tree, process, tree_lookup

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pumice.formats.oci import RunConfig
    from pumice.formats.tar import Entry
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.recipe.image_tests import ConfigCheck, FileCheck
    from pumice.store.home import Home

_MAX_CONTENT = 1 << 20
_KINDS = {"file": "file", "hardlink": "file", "dir": "directory", "symlink": "link"}
_EXECUTE_BITS = {"owner": 0o100, "group": 0o010, "other": 0o001, "any": 0o111}
_TYPE_BITS = {"file": stat.S_IFREG, "hardlink": stat.S_IFREG, "dir": stat.S_IFDIR, "symlink": stat.S_IFLNK}
_TYPE_BITS |= {"char": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO}


class ImageFiles:
    """The files of an image of one platform. Contents are read from its prepared tree, if at all."""

    def __init__(self, image: Image, home: Home, progress: Progress) -> None:
        self._image = image
        self._home = home
        self._progress = progress
        entries = flatten(layer_scan.scan_layer(layer, home.records).entries for layer in image.layers())
        self._root = entries[""].entry
        nodes = {
            path: Node(msgspec.structs.replace(item.entry, path=path))
            for path, item in entries.items()
            if path
        }
        self._tree = Tree(nodes, self._read)

    def find(self, path: str, *, follow_last: bool = True) -> Entry | None:
        """Return the entry at ``path``, with links resolved inside the image; None if there is none."""
        parent, _, name = path.strip("/").rpartition("/")
        if not follow_last and name not in ("", ".", ".."):
            directory = self._tree.resolve(parent)
            target = None if directory is None else f"{directory}/{name}".lstrip("/")
        else:
            target = self._tree.resolve(path)
        if target is None:
            return None
        node = self._tree.get(target)
        return self._root if not target else node.entry if node else None

    def read(self, entry: Entry) -> bytes:
        """Return the start of the content of a regular file, as `find` returns it."""
        return self._read(entry.path)

    def _read(self, path: str) -> bytes:
        with prepared_tree.hold(self._image, self._home, self._progress) as tree:
            return tree_lookup.read_file(tree.root, path, _MAX_CONTENT) or b""

    def is_same_user(self, user: str, other: str) -> bool:
        """Return whether two texts such as ``nonroot`` and ``65532:65532`` mean the same ids."""
        with prepared_tree.hold(self._image, self._home, self._progress) as tree:
            try:
                first, second = (process.find_identity(text, tree.root) for text in (user, other))
            except ImageError:
                return False
        return (first.uid, first.gid) == (second.uid, second.gid)

    def owner_ids(self, owner: str) -> tuple[int, int | None]:
        """Return the ids of ``user[:group]``; raises ImageError for names that the image does not have."""
        user, colon, group = owner.partition(":")
        with prepared_tree.hold(self._image, self._home, self._progress) as tree:
            uid = process.find_identity(user, tree.root).uid
            return uid, process.find_identity(f"0:{group}", tree.root).gid if colon else None


def check_file(check: FileCheck, files: ImageFiles) -> Iterator[Failure]:
    """Yield what is wrong with a file."""
    examines_link = bool(check.link or check.permissions or check.kind == "link")
    entry = files.find(check.path, follow_last=not examines_link)
    if entry is None or not check.exists:
        if (entry is not None) != check.exists:
            expected, actual = ("exists", "does not exist") if check.exists else ("does not exist", "exists")
            yield Failure(subject=check.path, expected=expected, actual=actual)
        return
    facts = [
        ("type", check.kind, _KINDS.get(entry.kind, entry.kind)),
        ("mode", "" if check.mode is None else f"{check.mode:04o}", f"{entry.mode & 0o7777:04o}"),
        ("target of the link", check.link, entry.link),
        ("permissions", _normalize_mode(check.permissions), _format_mode(entry)),
        ("user id", "" if check.uid is None else str(check.uid), str(entry.uid)),
        ("group id", "" if check.gid is None else str(check.gid), str(entry.gid)),
    ]
    for subject, expected, actual in facts:
        if expected and expected != actual:
            yield Failure(subject=f"{subject} of {check.path}", expected=expected, actual=actual or "none")
    if check.executable_by and not entry.mode & _EXECUTE_BITS[check.executable_by]:
        expected = f"executable by {check.executable_by}"
        yield Failure(subject=f"mode of {check.path}", expected=expected, actual=f"{entry.mode & 0o7777:04o}")
    yield from _check_owner(check, entry, files)
    if check.content is not None:
        target = files.find(check.path)
        if target is None or target.kind not in ("file", "hardlink"):
            yield Failure(
                subject=check.path, expected="a regular file", actual=_KINDS.get(entry.kind, entry.kind)
            )
            return
        text = files.read(target).decode(errors="replace")
        yield from check_text(f"content of {check.path}", text, check.content)


def _check_owner(check: FileCheck, entry: Entry, files: ImageFiles) -> Iterator[Failure]:
    if not check.owner:
        return
    try:
        uid, gid = files.owner_ids(check.owner)
    except ImageError as error:
        yield Failure(subject=f"owner of {check.path}", expected=check.owner, actual=error.message)
        return
    if entry.uid != uid or gid not in (None, entry.gid):
        actual = f"{entry.uid}:{entry.gid}" if gid is not None else str(entry.uid)
        yield Failure(subject=f"owner of {check.path}", expected=check.owner, actual=actual)


def _format_mode(entry: Entry) -> str:
    return stat.filemode(_TYPE_BITS.get(entry.kind, 0) | entry.mode & 0o7777)


def _normalize_mode(text: str) -> str:
    """Return a mode as ls shows it. Go, and so container-structure-test, marks links with L."""
    return f"l{text[1:]}" if text.startswith("L") else text


def check_config(check: ConfigCheck, config: RunConfig, files: ImageFiles) -> Iterator[Failure]:
    """Yield what the config of the image says otherwise; a user may be named or numbered."""
    user = check.user
    if user and user != config.user and files.is_same_user(user, config.user):
        user = None
    values = (
        ("user", user, config.user),
        ("command", check.command, config.entrypoint),
        ("arguments", check.arguments, config.cmd),
        ("working directory", check.directory, config.working_dir),
    )
    for subject, expected, actual in values:
        if expected is not None and expected != actual:
            yield Failure(subject=subject, expected=_format(expected), actual=_format(actual))
    pairs = (variable.partition("=") for variable in config.env)
    environment = {name: value for name, _, value in pairs}
    yield from _check_names("variable", check.environment, check.environment_patterns, environment)
    yield from _check_names("label", check.labels, check.label_patterns, config.labels)
    ports = {port if "/" in port else f"{port}/tcp" for port in config.exposed_ports}
    yield from _check_members("port", check.ports, check.absent_ports, ports)
    yield from _check_members("volume", check.volumes, check.absent_volumes, config.volumes)


def _format(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else "[" + ", ".join(map(repr, value)) + "]"


def _check_names(
    subject: str, values: Mapping[str, str], patterns: Mapping[str, str], actual: Mapping[str, str]
) -> Iterator[Failure]:
    for name, expected in values.items():
        if actual.get(name) != expected:
            yield Failure(subject=f"{subject} {name}", expected=expected, actual=actual.get(name, "not set"))
    for name, pattern in patterns.items():
        if name not in actual or not matches_whole(pattern, actual[name]):
            yield Failure(
                subject=f"{subject} {name}",
                expected=f"matches {pattern!r}",
                actual=actual.get(name, "not set"),
            )


def _check_members(
    subject: str, expected: Iterable[str], absent: Iterable[str], actual: Iterable[str]
) -> Iterator[Failure]:
    listed = ", ".join(sorted(actual)) or "none"
    for item in expected:
        if item not in actual:
            yield Failure(subject=f"{subject}s", expected=f"has {item}", actual=listed)
    for item in absent:
        if item in actual:
            yield Failure(subject=f"{subject}s", expected=f"does not have {item}", actual=listed)
