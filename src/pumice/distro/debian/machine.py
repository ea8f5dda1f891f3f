"""How this machine's own apt is set up: where it fetches from, through what, with which keys.

Only read; apt itself is never run. Preferences and everything else of apt's are of no interest.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from pumice.errors import FormatError
from pumice.formats import aptconf, aptsources
from pumice.formats.aptconf import Configuration, Login
from pumice.formats.aptsources import SourceEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_T = TypeVar("_T")

_MAX_FILE = 16 << 20
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


class Machine(msgspec.Struct, frozen=True):
    """apt's sources, configuration and logins, in apt's order.

    ``trusted`` are the paths of keyrings for sources that name none, ``problems`` sentences about
    files that could not be understood and are left out.
    """

    entries: tuple[SourceEntry, ...] = ()
    configuration: Configuration = Configuration()
    logins: tuple[Login, ...] = ()
    trusted: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    root: str = "/"


def read(root: Path = Path("/")) -> Machine:
    """Return apt's setup below ``root``; an empty one where there is no apt. Raises nothing.

    What is malformed or unreadable is left out and named in ``problems``; unreadable login files
    are left out quietly, because only root may read them.
    """
    problems: list[str] = []
    configuration = _configuration(root, problems)
    folder = _place(root, configuration, "dir::etc", "etc/apt")
    entries: list[SourceEntry] = []
    for path in _source_files(folder, configuration):
        reader = aptsources.read_sources_file if path.suffix == ".sources" else aptsources.read_list_file
        entries += _parsed(path, reader, problems)
    logins: list[Login] = []
    quiet: list[str] = []
    netrc = [folder / configuration.get("dir::etc::netrc", "auth.conf")]
    netrc += _parts(folder / configuration.get("dir::etc::netrcparts", "auth.conf.d"), {".conf"})
    for path in netrc:
        logins += _parsed(path, aptconf.read_logins, quiet)
    trusted = [folder / "trusted.gpg", *_parts(folder / "trusted.gpg.d", {".gpg", ".asc"})]
    return Machine(
        entries=tuple(item for entry in entries for item in _expanded(entry, root)),
        configuration=configuration,
        logins=tuple(logins),
        trusted=tuple(str(path) for path in trusted if path.is_file()),
        problems=tuple(problems),
        root=str(root),
    )


def _configuration(root: Path, problems: list[str]) -> Configuration:
    files: list[tuple[str, bytes]] = []
    for path in [*_parts(root / "etc/apt/apt.conf.d", {".conf", ""}), root / "etc/apt/apt.conf"]:
        data = _bytes(path, problems)
        if data is None:
            continue
        try:
            aptconf.read_configuration([(str(path), data)])
        except FormatError as error:
            problems.append(f"{error.where or path}: {error.message}")
        else:
            files.append((str(path), data))
    return aptconf.read_configuration(files)


def _source_files(folder: Path, configuration: Configuration) -> list[Path]:
    parts = folder / configuration.get("dir::etc::sourceparts", "sources.list.d")
    main = folder / configuration.get("dir::etc::sourcelist", "sources.list")
    return [main, *_parts(parts, {".list", ".sources"})]


def _place(root: Path, configuration: Configuration, name: str, default: str) -> Path:
    return root / configuration.get(name, default).lstrip("/")


def _parts(folder: Path, suffixes: set[str]) -> list[Path]:
    """The files of a configuration folder that apt reads, in its order."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:
        return []
    return [
        folder / name
        for name in names
        if _NAME.fullmatch(name) and not name.startswith(".") and Path(name).suffix in suffixes
    ]


def _parsed(path: Path, reader: Callable[..., list[_T]], problems: list[str]) -> list[_T]:
    data = _bytes(path, problems)
    if data is None:
        return []
    try:
        return reader(data, where=str(path))
    except FormatError as error:
        problems.append(f"{error.where or path}: {error.message}")
        return []


def _bytes(path: Path, problems: list[str]) -> bytes | None:
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(_MAX_FILE)
    except OSError as error:
        problems.append(f"{path}: it cannot be read ({error.strerror})")
        return None


def _expanded(entry: SourceEntry, root: Path) -> Iterator[SourceEntry]:
    """Replace a list of mirrors in a file (``mirror+file:``) by the mirrors in it, in order."""
    if not entry.uri.startswith("mirror+file:"):
        yield entry
        return
    path = root / entry.uri.removeprefix("mirror+file:").lstrip("/")
    for line in (_bytes(path, []) or b"").decode("utf-8", "replace").splitlines():
        words = line.partition("#")[0].split()
        if words:
            yield msgspec.structs.replace(entry, uri=words[0])
