"""The files of a container for name resolution: ``/etc/hosts``, ``/etc/hostname``, ``/etc/resolv.conf``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.formats.lines import split_lines
from pumice.runtime.container import Mount

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_FILE = 1 << 20
_RESOLV_CONF = Path("/etc/resolv.conf")
_HOSTS = Path("/etc/hosts")


class NameResolution(msgspec.Struct, frozen=True, kw_only=True):
    """What the user adds: hosts as (address, name), name servers, search domains and options.

    ``copies_host`` is false for a container without the host's name servers (``--dns none``).
    """

    hosts: tuple[tuple[str, str], ...] = ()
    servers: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    copies_host: bool = True

    @property
    def chooses_servers(self) -> bool:
        """Return whether the container does not have the name servers of the host."""
        return bool(self.servers) or not self.copies_host

    @property
    def replaces_servers(self) -> bool:
        """Return whether the container has another resolv.conf than the host."""
        return self.chooses_servers or bool(self.domains or self.options)


def plan_files(hostname: str, names: NameResolution) -> tuple[tuple[str, str], ...]:
    """Return names and texts of the files that exist only while the container runs."""
    files = [("hosts", make_hosts(hostname, names))]
    if names.replaces_servers:
        files.append(("resolv.conf", make_resolv_conf(names)))
    return tuple(files)


def plan_mounts(root: str, names: NameResolution) -> Iterator[Mount]:
    """Yield the mounts of the files that `plan_files` returns, and of the host's resolv.conf."""
    if names.replaces_servers:
        yield Mount(f"{root}/resolv.conf", "/etc/resolv.conf", read_only=True)
    elif _RESOLV_CONF.is_file():
        yield Mount(str(_RESOLV_CONF), "/etc/resolv.conf", read_only=True)
    yield Mount(f"{root}/hosts", "/etc/hosts", read_only=True)


def make_hosts(hostname: str, names: NameResolution) -> str:
    """Return the host's ``/etc/hosts`` with lines for the container's own name and the added hosts."""
    text = _read(_HOSTS) or "127.0.0.1\tlocalhost\n::1\tlocalhost\n"
    added = "".join(f"{address}\t{name}\n" for address, name in names.hosts)
    if any(hostname in line.partition("#")[0].split()[1:] for line in split_lines(text)):
        return f"{added}{text}"
    return f"{added}{text.rstrip()}\n127.0.1.1\t{hostname}\n"


def make_resolv_conf(names: NameResolution) -> str:
    """Return the host's ``/etc/resolv.conf`` with the user's servers, domains and options instead."""
    kept = []
    for line in split_lines(_read(_RESOLV_CONF)) if names.copies_host else []:
        word = line.split(None, 1)[0] if line.strip() else ""
        replaced = {
            "nameserver": names.servers,
            "search": names.domains,
            "domain": names.domains,
            "options": names.options,
        }
        if not replaced.get(word):
            kept.append(line)
    lines = [*kept, *(f"nameserver {server}" for server in names.servers)]
    lines += [f"search {' '.join(names.domains)}"] if names.domains else []
    lines += [f"options {' '.join(names.options)}"] if names.options else []
    return "".join(f"{line}\n" for line in lines)


def _read(path: Path) -> str:
    with suppress(OSError), path.open(encoding="utf-8", errors="surrogateescape") as file:
        return file.read(_MAX_FILE)
    return ""
