"""What people write, as frozen values. Every default is visible here, every rule in `load`."""

from __future__ import annotations

from typing import Literal

import msgspec


class ExtraArchive(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Another archive of Debian's shape, beside the distribution's own."""

    name: str
    url: str
    suite: str
    components: tuple[str, ...] = ("main",)
    key: str = ""
    """Path of its OpenPGP keyring, relative to the recipe."""
    trusted: bool = False
    """Take it without a signature: only when the recipe says so in as many words."""
    packages: tuple[str, ...] = ()
    """Names, or patterns with ``*``, of the only packages to take from it."""
    priority: int = 0
    """Of all its packages, as in apt_preferences(5); 0: highest version first if the recipe names
    the package, else only where the distribution has nothing that fits."""


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The recipe's ``from``: which distribution and where it is found.

    Empty ``mirrors`` and ``keyrings`` mean: Pumice's configuration, then the machine's own apt
    configuration. ``snapshots`` are URL templates in which ``{date}`` stands for the lock's date.
    """

    debian: str
    mirrors: tuple[str, ...] = ()
    security_mirrors: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()
    components: tuple[str, ...] = ("main",)
    keyrings: tuple[str, ...] = ()
    suites: tuple[str, ...] = ()
    """Suites to use instead of the default release, updates and security."""
    archives: tuple[ExtraArchive, ...] = ()


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of ``packages``.

    ``python3``, ``python3=3.11.2-1+b1``, ``-perl`` (``exclude``) or ``./hello.deb`` (``file``, a
    clean path relative to the recipe's folder, which only says its ``name`` when it is read: until
    then that is empty). ``where`` is its ``file:line:col``; it takes no part in any digest.
    """

    name: str
    version: str = ""
    exclude: bool = False
    file: str = ""
    where: str = ""


class FileRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One item of ``files``: exactly one of ``source``, ``text``, ``link`` or ``directory``.

    ``source`` is the recipe's ``from``: a path or glob in ``base_dir``, the folder of the recipe file
    that wrote the rule, itself relative to the main recipe's folder (empty: the same). ``owner`` is
    ``user[:group]`` by name or number.
    """

    to: str
    source: str = ""
    text: str | None = None
    link: str = ""
    directory: bool = False
    mode: int | None = None
    owner: str = ""
    ignore: tuple[str, ...] = ()
    base_dir: str = ""
    where: str = ""


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A user to add; an id left out is allocated and kept in the lock."""

    name: str
    uid: int | None = None
    group: str = ""
    groups: tuple[str, ...] = ()
    home: str = "/nonexistent"
    shell: str = "/usr/sbin/nologin"
    comment: str = ""


class Group(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A group to add; an id left out is allocated and kept in the lock."""

    name: str
    gid: int | None = None


class HealthCheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an engine asks the container whether it is well; times are seconds."""

    command: tuple[str, ...]
    interval: int = 30
    timeout: int = 30
    start_period: int = 0
    retries: int = 3


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What runs, as whom and where."""

    user: str = ""
    command: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    directory: str = ""
    ports: dict[str, str] = {}
    """Name to ``NUMBER/tcp`` or ``NUMBER/udp``."""
    volumes: dict[str, str] = {}
    """Name to path."""
    stop_signal: str = ""
    health: HealthCheck | None = None


class Python(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Python extras."""

    bytecode: bool = False


LayerPolicy = Literal["auto", "packages", "single"]
Base = Literal["data", "essential", "none"]


class Recipe(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An effective recipe: everything extended and checked."""

    name: str
    version: str
    origin: Origin
    description: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    base: Base = "data"
    recommends: bool = False
    packages: tuple[Request, ...] = ()
    files: tuple[FileRule, ...] = ()
    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()
    environment: dict[str, str] = {}
    run: Run = Run()
    archs: tuple[str, ...] = ()
    """Debian architecture names; empty means the machine's own."""
    layers: LayerPolicy = "auto"
    include: tuple[str, ...] = ()
    """Of docs, man, info, locales, lintian: what is kept though it is dropped by default."""
    python: Python = Python()
    path: str = ""
    """The recipe file; takes no part in any digest."""
