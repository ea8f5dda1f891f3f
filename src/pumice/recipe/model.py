"""The recipe as frozen values, with all defaults; the rules are in `keys` and `grammar`."""

from __future__ import annotations

from typing import Literal

import msgspec

from pumice.recipe.image_tests import ImageTest


class ExtraArchive(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An extra archive with Debian's layout, used in addition to the distribution's."""

    name: str
    url: str
    suite: str
    components: tuple[str, ...] = ("main",)
    key: str = ""
    """Path of its OpenPGP keyring, relative to the recipe."""
    trusted: bool = False
    """Use it without a signature."""
    packages: tuple[str, ...] = ()
    """Names, or patterns with ``*``, of the only packages to take from it."""
    priority: int = 0
    """Of all its packages, as in apt_preferences(5). With 0, a package that the recipe names is taken in
    its highest version from any archive; others come from here only if the distribution has none."""


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The recipe's ``from``: the distribution and its mirrors.

    Without ``mirrors`` and ``keyrings`` those of Pumice's configuration are used, then those of the
    machine's apt. ``snapshots`` are URL templates in which ``{date}`` is replaced by the lock's date.
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
    """An item of ``packages``.

    ``python3``, ``python3=3.11.2-1+b1``, ``-perl`` (``exclude``) or ``./hello.deb`` (``file``, a
    normalized path relative to the recipe's directory; its ``name`` is empty, because only the file
    knows it). ``where`` is its ``file:line:col``, which is not part of any digest.
    """

    name: str
    version: str = ""
    exclude: bool = False
    file: str = ""
    slice: str = ""
    """The name of a slice of the package, for ``openssl_bins``."""
    where: str = ""


class SliceSource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the slices of a recipe are defined.

    ``release`` is a path relative to the recipe or a release that comes with Pumice, by default that of the
    recipe's suite. The definitions in ``overlay`` replace those of the release.
    """

    release: str = ""
    overlay: tuple[str, ...] = ()


class FileRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An item of ``files``, with exactly one of ``source``, ``text``, ``link`` or ``directory``.

    ``source`` is the recipe's ``from``: a path or glob in ``base_dir``, the directory of the recipe
    file with this rule, relative to that of the main recipe (empty: the same). ``owner`` is
    ``user[:group]``, names or numbers.
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


class PermissionRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An item of ``permissions``: a glob of absolute paths, and the mode or owner of what it matches."""

    path: str
    mode: int | None = None
    owner: str = ""
    where: str = ""


class ExcludeRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An item of ``exclude``: patterns of gitignore(5) for paths of packages that the image goes without.

    With ``package``, only for the files of that package. ``where`` is its ``file:line:col``.
    """

    paths: tuple[str, ...]
    package: str = ""
    where: str = ""


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A user to add; without an id, one is allocated and stored in the lock."""

    name: str
    uid: int | None = None
    group: str = ""
    groups: tuple[str, ...] = ()
    home: str = "/nonexistent"
    shell: str = "/usr/sbin/nologin"
    comment: str = ""


class Group(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A group to add; without an id, one is allocated and stored in the lock."""

    name: str
    gid: int | None = None


class HealthCheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The health check of a container; times are in seconds."""

    command: tuple[str, ...]
    interval: int = 30
    timeout: int = 30
    start_period: int = 0
    retries: int = 3


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The process of a container: program, user, directory, ports and volumes."""

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
    """Options for images with Python."""

    bytecode: bool = False


class GenerateCommand(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An item of ``generate``: a program of the image whose files become part of the image.

    ``paths`` are absolute; if there are any, only changes at and below them are kept. ``timeout`` is in
    seconds, 0 for the default. ``where`` is its ``file:line:col``, which is not part of any digest.
    """

    command: tuple[str, ...]
    paths: tuple[str, ...] = ()
    timeout: int = 0
    where: str = ""


CheckName = Literal[
    "command", "directory", "exclude", "interpreter", "library", "link", "loader", "locale", "port",
    "set-id", "shell", "shell-command", "user", "volume", "world-writable", "written-file",
]  # fmt: skip
"""The checks of `pumice.checks`."""


class IgnoredFinding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Findings to leave out: those of ``check``, for ``path`` only unless it is empty, and why."""

    check: CheckName
    reason: str
    path: str = ""


class Checks(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Options for the checks of an image."""

    ignore: tuple[IgnoredFinding, ...] = ()


class PackageVersion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The recipe's ``version`` if it is that of a package; ``where`` is its ``file:line:col``."""

    package: str
    where: str = ""


UNRESOLVED_VERSION = "VERSION"
"""A tag that stands for the version of a package in messages, until the lock is known."""

LayerPolicy = Literal["auto", "packages", "single"]
Base = Literal["data", "essential", "none"]


class Recipe(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An effective recipe: merged with all that it extends, and checked."""

    name: str
    version: str
    """`UNRESOLVED_VERSION` if it is that of a package, until the lock is known."""
    origin: Origin
    version_from: PackageVersion | None = None
    """The package whose version the image has, None once the version is known."""
    tags: tuple[str, ...] = ()
    """Further tags that follow from the version of a package, such as ``15`` for ``15.14``."""
    description: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    base: Base = "data"
    recommends: bool = False
    packages: tuple[Request, ...] = ()
    selected_slices: tuple[str, ...] = ()
    """The slices among the items of ``packages``, such as ``openssl_bins``, sorted."""
    slices: SliceSource = SliceSource()
    files: tuple[FileRule, ...] = ()
    permissions: tuple[PermissionRule, ...] = ()
    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()
    environment: dict[str, str] = {}
    run: Run = Run()
    archs: tuple[str, ...] = ()
    """Debian architecture names; empty means the machine's own."""
    layers: LayerPolicy = "auto"
    keep: tuple[str, ...] = ()
    """Packages that stay although only package scripts use them; ``all`` for every one."""
    without: tuple[str, ...] = ()
    """Packages and families of packages to give up, although programs of the image use them."""
    include: tuple[str, ...] = ()
    """Of docs, man, info, locales and lintian, which are dropped by default: those to keep."""
    exclude: tuple[ExcludeRule, ...] = ()
    """What to leave out of packages; ``include`` takes precedence."""
    python: Python = Python()
    generate: tuple[GenerateCommand, ...] = ()
    scripts: Literal["effects", "sandbox"] = "effects"
    """Whether package scripts run in the sandbox, after the effects."""
    checks: Checks = Checks()
    tests: tuple[ImageTest, ...] = ()
    args: dict[str, str] = {}
    """The values of its arguments; they decide nothing, because they are replaced in the other values."""
    path: str = ""
    """The recipe file; part of no digest."""
