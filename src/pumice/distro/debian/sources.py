"""The package sources of a recipe: archives and suites, their mirrors and the keyrings that verify them.

The recipe takes precedence, then Pumice's configuration, then the apt configuration of the machine. An
apt source of the machine is a possible mirror of Debian if it has a Debian suite; whether its content is
Debian's is decided later, by its *signed* Release file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import FetchError, TrustError
from pumice.files import open_regular

if TYPE_CHECKING:
    from pumice.distro.debian.apt_setup import AptSetup
    from pumice.formats.aptsources import SourceEntry
    from pumice.recipe.config import Config, DistributionConfig
    from pumice.recipe.model import ExtraArchive, Origin

DEBIAN = "debian"
SECURITY = "debian-security"

_ROLLING = frozenset({"sid", "unstable", "experimental", "rc-buggy"})
_OLD = frozenset({"buster", "stretch", "jessie", "wheezy", "squeeze", "lenny"})
"""Suites whose security suite is called SUITE/updates."""
_CURRENT = frozenset(
    {"oldoldstable", "oldstable", "stable", "testing", "bullseye", "bookworm", "trixie", "forky", "duke"}
)
_SUITES = _CURRENT | _ROLLING | _OLD
_EXTENSIONS = ("-updates", "-security", "-backports", "-backports-sloppy", "-proposed-updates", "/updates")
_BACKPORTS = ("-backports", "-backports-sloppy")
"""Suffixes of the suites whose Release files have a different Origin."""
_MAX_KEYRING = 16 << 20


class KeyringFile(msgspec.Struct, frozen=True):
    """A keyring: its bytes and the name to show for it.

    If ``fingerprints`` is not empty, only the certificates with these fingerprints are trusted.
    """

    name: str
    data: bytes
    fingerprints: tuple[str, ...] = ()


class Mirror(msgspec.Struct, frozen=True):
    """One location of an archive. One of ``keys`` must verify its Release file; they are tried in order.

    In the ``url`` of a snapshot mirror, ``{date}`` and ``{archive}`` are replaced by the time of the
    snapshot and the name of the archive.
    """

    url: str
    keys: tuple[KeyringFile, ...] = ()
    check_valid_until: bool = True
    check_date: bool = True
    is_trusted_by_apt: bool = False
    """apt on this machine uses it without a signature (``trusted=yes``); Pumice does not."""
    unreadable_keyrings: tuple[str, ...] = ()
    """One sentence for each keyring of the apt source that cannot be read and is not in ``keys``."""


class Source(msgspec.Struct, frozen=True):
    """One suite of one archive.

    ``origin`` and ``release_names`` are the values that its Release file must have (Origin; Codename or
    Suite); empty if any value is accepted. If an ``optional`` source is missing, that is only a warning.
    """

    archive: str
    suite: str
    components: tuple[str, ...]
    mirrors: tuple[Mirror, ...]
    snapshots: tuple[Mirror, ...] = ()
    origin: str = ""
    release_names: tuple[str, ...] = ()
    trusted: bool = False
    optional: bool = False
    extra: bool = False
    """The recipe adds the archive to the distribution."""
    packages: tuple[str, ...] = ()
    """Patterns of the package names it may provide; empty for requested packages and their dependencies."""
    priority: int = 0
    """The priority as in apt_preferences(5); 0 if the recipe does not set it."""

    @property
    def is_flat(self) -> bool:
        """Return whether this is a flat repository: its suite is a directory path that ends with ``/``."""
        return self.suite.endswith("/")

    def folder(self, url: str) -> str:
        """Return the URL of the directory of the suite's Release file on the mirror ``url``."""
        return f"{url}/{self.suite}".rstrip("/") if self.is_flat else f"{url}/dists/{self.suite}"

    @property
    def label(self) -> str:
        """Return ``ARCHIVE/SUITE``, the ``suite`` of package records."""
        return f"{self.archive}/{self.suite}"


def resolve_sources(
    origin: Origin, *, recipe_dir: Path, config: Config, machine: AptSetup | None
) -> tuple[Source, ...]:
    """Return the sources that the ``from`` section of a recipe describes, Debian's suites first.

    A source may have no mirrors, because a build whose packages are all in the store needs none;
    `missing_mirror_error` is the error if one is needed. Raises TrustError for an archive without a
    key and for an unreadable keyring.
    """
    finder = _SourceFinder(origin, recipe_dir, config.debian, machine)
    sources = [
        finder.make_source(archive, suite, optional)
        for archive, suite, optional in _list_debian_suites(origin)
    ]
    sources += [finder.make_extra_source(archive) for archive in origin.archives]
    return tuple(sources)


def missing_mirror_error(source: Source) -> FetchError:
    """Return the error for a source without a mirror."""
    suite = source.suite
    return FetchError(
        f"no Debian mirror is configured for {suite}",
        hint=f"set one in the recipe, from: {{debian: {suite}, mirrors: [https://mirror.example/debian]}},"
        " or under debian: mirrors: in Pumice's configuration",
    )


def builtin_keys() -> KeyringFile:
    """Return the Debian archive keys that are shipped with Pumice."""
    path = Path(__file__).parent / "keys" / "debian-archive-keyring.gpg"
    return KeyringFile("Debian's archive keys", path.read_bytes())


def _list_debian_suites(origin: Origin) -> list[tuple[str, str, bool]]:
    """Return the archive, suite and optional flag of each Debian suite of the recipe."""
    suite = origin.debian
    if origin.suites:
        return [(SECURITY if _is_security(name) else DEBIAN, name, False) for name in origin.suites]
    if suite in _ROLLING:
        return [(DEBIAN, suite, False)]
    security = f"{suite}/updates" if suite in _OLD else f"{suite}-security"
    return [(DEBIAN, suite, False), (DEBIAN, f"{suite}-updates", True), (SECURITY, security, True)]


class _SourceFinder:
    """Finds the mirrors and keyrings for one recipe; reads each keyring once."""

    def __init__(
        self, origin: Origin, recipe_dir: Path, settings: DistributionConfig, machine: AptSetup | None
    ) -> None:
        self._origin = origin
        self._recipe_dir = recipe_dir
        self._settings = settings
        self._machine = machine
        self._builtin_keyring = builtin_keys()
        configured_paths = [recipe_dir / path for path in origin.keyrings] or [
            Path(path) for path in settings.keyrings
        ]
        self._configured_keys = tuple(_read_keyring(path) for path in configured_paths)

    def make_source(self, archive: str, suite: str, optional: bool) -> Source:
        """Return the source for a Debian suite."""
        snapshots = self._origin.snapshots or self._settings.snapshots
        keys = self._configured_keys or (self._builtin_keyring,)
        return Source(
            archive=archive,
            suite=suite,
            components=self._origin.components,
            mirrors=tuple(self._find_mirrors(archive, suite)),
            snapshots=tuple(Mirror(url.rstrip("/"), keys, check_valid_until=False) for url in snapshots),
            origin="Debian Backports" if suite.endswith(_BACKPORTS) else "Debian",
            release_names=(suite,),
            optional=optional,
        )

    def make_extra_source(self, archive: ExtraArchive) -> Source:
        """Return the source for an archive that the recipe adds."""
        if not archive.key and not archive.trusted:
            raise TrustError(
                f"the archive {archive.name} has no key",
                hint="set key: to the path of its keyring, or trusted: true to use it without a signature",
            )
        keys = (_read_keyring(self._recipe_dir / archive.key),) if archive.key else ()
        valid_until, date = self._choose_date_checks(None)
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

    def _find_mirrors(self, archive: str, suite: str) -> list[Mirror]:
        is_security = archive == SECURITY
        urls = (
            self._origin.security_mirrors or self._settings.security_mirrors
            if is_security
            else self._origin.mirrors or self._settings.mirrors
        )
        if urls:
            valid_until, date = self._choose_date_checks(None)
            keys = self._configured_keys or (self._builtin_keyring,)
            return [Mirror(url.rstrip("/"), keys, valid_until, date) for url in urls]
        return self._find_machine_mirrors(is_security, suite)

    def _find_machine_mirrors(self, is_security: bool, suite: str) -> list[Mirror]:
        entries = self._machine.entries if self._machine else ()
        matching_entries = [entry for entry in entries if self._may_mirror(entry, is_security, suite)]
        # A mirror that also has an updates or security suite is almost certainly Debian's: try others last.
        likely_uris = {entry.uri for entry in entries if entry.suite.endswith(_EXTENSIONS)}
        matching_entries.sort(key=lambda entry: (entry.uri not in likely_uris, entry.suite != suite))
        mirrors: dict[str, Mirror] = {}
        for entry in matching_entries:
            url = entry.uri.rstrip("/")
            mirror = self._make_mirror(url, entry)
            if url in mirrors:
                keys = dict.fromkeys((*mirrors[url].keys, *mirror.keys))
                mirror = msgspec.structs.replace(mirrors[url], keys=tuple(keys))
            mirrors[url] = mirror
        return list(mirrors.values())

    def _may_mirror(self, entry: SourceEntry, is_security: bool, suite: str) -> bool:
        """Return whether an apt source may be a mirror of the archive that has ``suite``."""
        is_debian_suite = entry.suite == suite or _strip_extension(entry.suite) in _SUITES
        scheme = entry.uri.partition(":")[0]
        return (
            is_debian_suite
            and _is_security(entry.suite) == is_security
            and scheme in {"http", "https", "file", "copy"}
            and bool(set(entry.components) & {"main", *self._origin.components})
        )

    def _make_mirror(self, url: str, entry: SourceEntry) -> Mirror:
        valid_until, date = self._choose_date_checks(entry)
        entry_keys, unreadable = ([], ()) if self._configured_keys else self._read_entry_keys(entry)
        return Mirror(
            url,
            self._configured_keys or (self._builtin_keyring, *entry_keys),
            valid_until,
            date,
            is_trusted_by_apt=entry.trusted is True,
            unreadable_keyrings=unreadable,
        )

    def _read_entry_keys(self, entry: SourceEntry) -> tuple[list[KeyringFile], tuple[str, ...]]:
        """Return the keyrings of an apt source, and a sentence for each one that cannot be read."""
        if entry.key:
            return [KeyringFile(f"the key in {entry.where}", entry.key.encode())], ()
        fingerprints = tuple(signer for signer in entry.signed_by if not signer.startswith("/"))
        paths = [signer for signer in entry.signed_by if signer.startswith("/")]
        root = Path(self._machine.root) if self._machine else Path("/")
        keyring_paths = [root / path.lstrip("/") for path in paths]
        if not paths and self._machine:
            keyring_paths = [Path(path) for path in self._machine.trusted_keyrings]
        keyrings: list[KeyringFile] = []
        unreadable_keyrings: list[str] = []
        for path in keyring_paths:
            try:
                keyrings.append(msgspec.structs.replace(_read_keyring(path), fingerprints=fingerprints))
            except TrustError as error:  # another keyring may be sufficient
                unreadable_keyrings.append(f"{path}: {error.message}")
        return [keys for keys in keyrings if keys.data != self._builtin_keyring.data], tuple(
            unreadable_keyrings
        )

    def _choose_date_checks(self, entry: SourceEntry | None) -> tuple[bool, bool]:
        """Return whether to check Valid-Until and Date: as the apt source sets, else apt's configuration."""
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


def _strip_extension(suite: str) -> str:
    for extension in _EXTENSIONS:
        suite = suite.removesuffix(extension)
    return suite


def _read_keyring(path: Path) -> KeyringFile:
    try:
        with open_regular(path) as file:
            return KeyringFile(str(path), file.read(_MAX_KEYRING))
    except OSError as error:
        raise TrustError(f"cannot read the keyring: {error.strerror}", where=str(path)) from error
