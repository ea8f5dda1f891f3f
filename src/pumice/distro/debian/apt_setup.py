"""The apt setup of this machine: its sources, configuration, logins and keyrings.

The files are only read; apt is not run. apt's preferences are ignored.
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


class AptSetup(msgspec.Struct, frozen=True):
    """apt's sources, configuration and logins, in apt's order.

    ``trusted_keyrings`` are the paths of the keyrings for sources without ``Signed-By``. ``problems``
    are sentences about files that were skipped because they could not be read.
    """

    entries: tuple[SourceEntry, ...] = ()
    configuration: Configuration = Configuration()
    logins: tuple[Login, ...] = ()
    trusted_keyrings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    root: str = "/"


def read_apt_setup(root: Path = Path("/")) -> AptSetup:
    """Return the apt setup below ``root``; it is empty if apt is not installed. Raises nothing.

    Malformed and unreadable files are skipped and listed in ``problems``, except for login files,
    which often only root may read.
    """
    problems: list[str] = []
    configuration = _read_configuration(root, problems)
    directory = _resolve_configured_path(root, configuration, "dir::etc", "etc/apt")
    entries: list[SourceEntry] = []
    for path in _list_source_files(directory, configuration):
        reader = aptsources.read_sources_file if path.suffix == ".sources" else aptsources.read_list_file
        entries += _parse_file(path, reader, problems)
    logins: list[Login] = []
    ignored_problems: list[str] = []
    login_files = [directory / configuration.get("dir::etc::netrc", "auth.conf")]
    login_files += _list_configuration_files(
        directory / configuration.get("dir::etc::netrcparts", "auth.conf.d"), {".conf"}
    )
    for path in login_files:
        logins += _parse_file(path, aptconf.read_logins, ignored_problems)
    trusted_keyrings = [
        directory / "trusted.gpg",
        *_list_configuration_files(directory / "trusted.gpg.d", {".gpg", ".asc"}),
    ]
    return AptSetup(
        entries=tuple(
            expanded_entry for entry in entries for expanded_entry in _expand_mirror_list(entry, root)
        ),
        configuration=configuration,
        logins=tuple(logins),
        trusted_keyrings=tuple(str(path) for path in trusted_keyrings if path.is_file()),
        problems=tuple(problems),
        root=str(root),
    )


def _read_configuration(root: Path, problems: list[str]) -> Configuration:
    files: list[tuple[str, bytes]] = []
    for path in [
        *_list_configuration_files(root / "etc/apt/apt.conf.d", {".conf", ""}),
        root / "etc/apt/apt.conf",
    ]:
        data = _read_file(path, problems)
        if data is None:
            continue
        try:
            aptconf.read_configuration([(str(path), data)])
        except FormatError as error:
            problems.append(f"{error.where or path}: {error.message}")
        else:
            files.append((str(path), data))
    return aptconf.read_configuration(files)


def _list_source_files(directory: Path, configuration: Configuration) -> list[Path]:
    main_file = directory / configuration.get("dir::etc::sourcelist", "sources.list")
    list_directory = directory / configuration.get("dir::etc::sourceparts", "sources.list.d")
    return [main_file, *_list_configuration_files(list_directory, {".list", ".sources"})]


def _resolve_configured_path(root: Path, configuration: Configuration, name: str, default: str) -> Path:
    return root / configuration.get(name, default).lstrip("/")


def _list_configuration_files(directory: Path, suffixes: set[str]) -> list[Path]:
    """Return the files of a configuration directory that apt reads, in its order (apt.conf(5))."""
    try:
        names = sorted(path.name for path in directory.iterdir())
    except OSError:
        return []
    return [
        directory / name
        for name in names
        if _NAME.fullmatch(name) and not name.startswith(".") and Path(name).suffix in suffixes
    ]


def _parse_file(path: Path, reader: Callable[..., list[_T]], problems: list[str]) -> list[_T]:
    data = _read_file(path, problems)
    if data is None:
        return []
    try:
        return reader(data, where=str(path))
    except FormatError as error:
        problems.append(f"{error.where or path}: {error.message}")
        return []


def _read_file(path: Path, problems: list[str]) -> bytes | None:
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(_MAX_FILE)
    except OSError as error:
        problems.append(f"{path}: cannot read the file: {error.strerror}")
        return None


def _expand_mirror_list(entry: SourceEntry, root: Path) -> Iterator[SourceEntry]:
    """Yield the entry for each mirror in a mirror list (``mirror+file:``, apt-transport-mirror(1))."""
    if not entry.uri.startswith("mirror+file:"):
        yield entry
        return
    path = root / entry.uri.removeprefix("mirror+file:").lstrip("/")
    for line in (_read_file(path, []) or b"").decode("utf-8", "replace").splitlines():
        fields = line.partition("#")[0].split()
        if fields:
            yield msgspec.structs.replace(entry, uri=fields[0])
