"""From which archives a recipe takes packages, where those are found, and whose signature they need.

The recipe decides, then Pumice's configuration, then the machine's apt configuration. Of the
machine's sources only those can become a mirror of Debian that offer a suite of Debian's; whether
one really is Debian's is decided by its *signed* Release file, not here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import FetchError, TrustError
from pumice.files import open_regular

if TYPE_CHECKING:
    from pumice.distro.debian.machine import Machine
    from pumice.formats.aptsources import SourceEntry
    from pumice.recipe.config import Config, Settings
    from pumice.recipe.model import ExtraArchive, Origin

DEBIAN = "debian"
SECURITY = "debian-security"

_ROLLING = frozenset({"sid", "unstable", "experimental", "rc-buggy"})
_OLD = frozenset({"buster", "stretch", "jessie", "wheezy", "squeeze", "lenny"})
"""Suites whose security archive is called SUITE/updates."""
_CURRENT = frozenset(
    {"oldoldstable", "oldstable", "stable", "testing", "bullseye", "bookworm", "trixie", "forky", "duke"}
)
_SUITES = _CURRENT | _ROLLING | _OLD
_EXTENSIONS = ("-updates", "-security", "-backports", "-backports-sloppy", "-proposed-updates", "/updates")
_BACKPORTS = ("-backports", "-backports-sloppy")
"""Suites of Debian whose Release files name another origin."""
_MAX_KEYRING = 16 << 20


class Keys(msgspec.Struct, frozen=True):
    """A keyring: its bytes, a name for people, and (if not all of it counts) which fingerprints do."""

    name: str
    data: bytes
    only: tuple[str, ...] = ()


class Mirror(msgspec.Struct, frozen=True):
    """One place where an archive is found. ``keys`` are tried in order; one must vouch.

    In a snapshot mirror's ``url``, ``{date}`` and ``{archive}`` stand for a time and an archive id.
    """

    url: str
    keys: tuple[Keys, ...] = ()
    check_valid_until: bool = True
    check_date: bool = True
    apt_trusts: bool = False
    """The machine's apt takes it unsigned; Pumice does not, and can say why it differs."""
    unreadable: tuple[str, ...] = ()
    """Why keyrings that apt would check it with are not among ``keys``."""


class Source(msgspec.Struct, frozen=True):
    """One suite of one archive.

    ``origin`` and ``names`` are what its Release must say of itself (Origin; Codename or Suite), ""
    and () if anything will do. An ``optional`` one may be missing, which is worth a warning.
    """

    archive: str
    suite: str
    components: tuple[str, ...]
    mirrors: tuple[Mirror, ...]
    snapshots: tuple[Mirror, ...] = ()
    origin: str = ""
    names: tuple[str, ...] = ()
    trusted: bool = False
    optional: bool = False
    extra: bool = False
    """The recipe adds it to the distribution."""
    packages: tuple[str, ...] = ()
    """Patterns of the names that it is for; empty for what the recipe names, and what that needs."""
    priority: int = 0
    """As in apt_preferences(5); 0 where the recipe says nothing."""

    @property
    def is_flat(self) -> bool:
        """Return whether the archive has no ``dists``: its suite is a folder, and ends in ``/``."""
        return self.suite.endswith("/")

    def folder(self, url: str) -> str:
        """Return where the suite's Release is on the mirror ``url``."""
        return f"{url}/{self.suite}".rstrip("/") if self.is_flat else f"{url}/dists/{self.suite}"

    @property
    def label(self) -> str:
        """Return ``ARCHIVE/SUITE``, as records of packages name it."""
        return f"{self.archive}/{self.suite}"


def sources(
    origin: Origin, *, recipe_dir: Path, config: Config, machine: Machine | None
) -> tuple[Source, ...]:
    """Return what a recipe's ``from`` stands for, Debian's suites first.

    A source may have no mirrors: a build whose packages are all at hand needs none, and `unknown`
    is the error for when one is needed after all. Raises TrustError for an archive without a key
    and for a keyring that cannot be read.
    """
    finder = _Finder(origin, recipe_dir, config.debian, machine)
    found = [finder.source(archive, suite, optional) for archive, suite, optional in _wanted(origin)]
    found += [finder.other(archive) for archive in origin.archives]
    return tuple(found)


def unknown(source: Source) -> FetchError:
    """Return the error for a source that has no mirror: how to name one."""
    suite = source.suite
    return FetchError(
        f"no mirror of Debian is known for {suite}",
        hint=f"name one in the recipe, from: {{debian: {suite}, mirrors: [https://mirror.example/debian]}},"
        " or under debian: mirrors: in Pumice's configuration",
    )


def builtin_keys() -> Keys:
    """Return Debian's archive keys, which come with Pumice."""
    path = Path(__file__).parent / "keys" / "debian-archive-keyring.gpg"
    return Keys("Debian's archive keys", path.read_bytes())


def _wanted(origin: Origin) -> list[tuple[str, str, bool]]:
    """(archive, suite, optional) of each suite that the recipe means."""
    suite = origin.debian
    if origin.suites:
        return [(SECURITY if _is_security(name) else DEBIAN, name, False) for name in origin.suites]
    if suite in _ROLLING:
        return [(DEBIAN, suite, False)]
    security = f"{suite}/updates" if suite in _OLD else f"{suite}-security"
    return [(DEBIAN, suite, False), (DEBIAN, f"{suite}-updates", True), (SECURITY, security, True)]


class _Finder:
    """Looks up mirrors and keys for one recipe; reads each keyring once."""

    def __init__(self, origin: Origin, recipe_dir: Path, settings: Settings, machine: Machine | None) -> None:
        self._origin = origin
        self._recipe_dir = recipe_dir
        self._settings = settings
        self._machine = machine
        self._builtin = builtin_keys()
        named = [recipe_dir / path for path in origin.keyrings] or [Path(path) for path in settings.keyrings]
        self._named = tuple(_read(path) for path in named)

    def source(self, archive: str, suite: str, optional: bool) -> Source:
        """The source for one of Debian's own suites."""
        snapshots = self._origin.snapshots or self._settings.snapshots
        keys = self._named or (self._builtin,)
        return Source(
            archive=archive,
            suite=suite,
            components=self._origin.components,
            mirrors=tuple(self._mirrors(archive, suite)),
            snapshots=tuple(Mirror(url.rstrip("/"), keys, check_valid_until=False) for url in snapshots),
            origin="Debian Backports" if suite.endswith(_BACKPORTS) else "Debian",
            names=(suite,),
            optional=optional,
        )

    def other(self, archive: ExtraArchive) -> Source:
        """The source for another archive that the recipe names."""
        if not archive.key and not archive.trusted:
            raise TrustError(
                f"the archive {archive.name} has no key",
                hint="give the path of its keyring as key:, or say trusted: true to take it unsigned",
            )
        keys = (_read(self._recipe_dir / archive.key),) if archive.key else ()
        valid_until, date = self._checks(None)
        return Source(
            archive=archive.name,
            suite=archive.suite,
            components=archive.components,
            mirrors=(Mirror(archive.url.rstrip("/"), keys, valid_until, date),),
            trusted=archive.trusted,
            extra=True,
            packages=archive.packages,
            priority=archive.priority,
        )

    def _mirrors(self, archive: str, suite: str) -> list[Mirror]:
        security = archive == SECURITY
        said = (
            self._origin.security_mirrors or self._settings.security_mirrors
            if security
            else self._origin.mirrors or self._settings.mirrors
        )
        if said:
            valid_until, date = self._checks(None)
            keys = self._named or (self._builtin,)
            return [Mirror(url.rstrip("/"), keys, valid_until, date) for url in said]
        return self._machine_mirrors(security, suite)

    def _machine_mirrors(self, security: bool, suite: str) -> list[Mirror]:
        entries = self._machine.entries if self._machine else ()
        fitting = [entry for entry in entries if self._fits(entry, security, suite)]
        # A mirror with updates beside it is hardly anything but Debian's: strangers are asked last.
        likely = {entry.uri for entry in entries if entry.suite.endswith(_EXTENSIONS)}
        fitting.sort(key=lambda entry: (entry.uri not in likely, entry.suite != suite))
        found: dict[str, Mirror] = {}
        for entry in fitting:
            url = entry.uri.rstrip("/")
            mirror = self._from_entry(url, entry)
            if url in found:
                keys = dict.fromkeys((*found[url].keys, *mirror.keys))
                mirror = msgspec.structs.replace(found[url], keys=tuple(keys))
            found[url] = mirror
        return list(found.values())

    def _fits(self, entry: SourceEntry, security: bool, suite: str) -> bool:
        """Whether an entry of the machine may be a mirror of the archive that ``suite`` is in."""
        known = entry.suite == suite or _base(entry.suite) in _SUITES
        scheme = entry.uri.partition(":")[0]
        return (
            known
            and _is_security(entry.suite) == security
            and scheme in {"http", "https", "file", "copy"}
            and bool(set(entry.components) & {"main", *self._origin.components})
        )

    def _from_entry(self, url: str, entry: SourceEntry) -> Mirror:
        valid_until, date = self._checks(entry)
        found, unreadable = ([], ()) if self._named else self._entry_keys(entry)
        return Mirror(
            url,
            self._named or (self._builtin, *found),
            valid_until,
            date,
            apt_trusts=entry.trusted is True,
            unreadable=unreadable,
        )

    def _entry_keys(self, entry: SourceEntry) -> tuple[list[Keys], tuple[str, ...]]:
        """(what the machine checks an entry with, why other keyrings of it cannot be read)."""
        if entry.key:
            return [Keys(f"the key in {entry.where}", entry.key.encode())], ()
        only = tuple(item for item in entry.signed_by if not item.startswith("/"))
        paths = [item for item in entry.signed_by if item.startswith("/")]
        root = Path(self._machine.root) if self._machine else Path("/")
        places = [root / path.lstrip("/") for path in paths]
        if not paths and self._machine:
            places = [Path(path) for path in self._machine.trusted]
        found: list[Keys] = []
        unreadable: list[str] = []
        for path in places:
            try:
                found.append(msgspec.structs.replace(_read(path), only=only))
            except TrustError as error:  # it vouches for nobody; whoever else does is enough
                unreadable.append(f"{path}: {error.message}")
        return [keys for keys in found if keys.data != self._builtin.data], tuple(unreadable)

    def _checks(self, entry: SourceEntry | None) -> tuple[bool, bool]:
        """(Valid-Until counts, Date counts) as the entry, else the machine's configuration, says."""
        configuration = self._machine.configuration if self._machine else None
        valid_until = entry.check_valid_until if entry else None
        date = entry.check_date if entry else None
        if configuration is not None:
            if valid_until is None:
                valid_until = configuration.get_boolean("Acquire::Check-Valid-Until")
            if date is None:
                date = configuration.get_boolean("Acquire::Check-Date")
        return valid_until is not False and date is not False, date is not False


def _is_security(suite: str) -> bool:
    return suite.endswith(("-security", "/updates")) or "-security/" in suite


def _base(suite: str) -> str:
    for extension in _EXTENSIONS:
        suite = suite.removesuffix(extension)
    return suite


def _read(path: Path) -> Keys:
    try:
        with open_regular(path) as file:
            return Keys(str(path), file.read(_MAX_KEYRING))
    except OSError as error:
        raise TrustError(f"the keyring cannot be read ({error.strerror})", where=str(path)) from error
