"""A connection to the archives of a recipe, opened only when something must be fetched."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.digest import Digest
    from pumice.distro.debian.apt_setup import AptSetup
    from pumice.distro.debian.sources import Source
    from pumice.fetch.indexes import Indexes
    from pumice.fetch.session import Session
    from pumice.progress import Progress
    from pumice.recipe.config import Config
    from pumice.recipe.lock import Lock, LockedPackage
    from pumice.recipe.model import Recipe
    from pumice.store.home import Home


def open_session(
    home: Home, environ: Mapping[str, str], *, offline: bool, progress: Progress
) -> tuple[AptSetup, Config, Session]:
    """Return apt's configuration, that of Pumice, and a session to fetch with, which the caller closes."""
    from pumice.distro.debian import apt_setup
    from pumice.fetch.session import Session
    from pumice.recipe import config

    apt_configuration = apt_setup.read_apt_setup()
    session = Session(home, offline=offline, progress=progress, machine=apt_configuration, environ=environ)
    return apt_configuration, config.load_config(environ), session


class SharedArchives:
    """The session and the indexes that the recipes of one command share; a context manager, thread-safe.

    A build in which nothing changed never opens it, so it imports no HTTP client and reads no apt
    configuration.
    """

    def __init__(self, home: Home, environ: Mapping[str, str], *, offline: bool, progress: Progress) -> None:
        self._home = home
        self._environ = environ
        self._offline = offline
        self._progress = progress
        self._lock = threading.RLock()
        self._setup: tuple[AptSetup, Config, Session] | None = None
        self._indexes: dict[tuple[tuple[Source, ...], tuple[str, ...]], Indexes] = {}

    def __enter__(self) -> SharedArchives:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._setup:
            self._setup[2].close()

    def forget_indexes(self) -> None:
        """Free the memory of the indexes; they are loaded again if a recipe needs them."""
        with self._lock:
            self._indexes.clear()

    def open_sources(self, recipe: Recipe) -> tuple[Sequence[Source], Session]:
        """Return the sources of ``recipe``, and the session, which is opened once; raises PumiceError."""
        from pumice.distro.debian import sources

        with self._lock:
            if self._setup is None:
                self._setup = open_session(
                    self._home, self._environ, offline=self._offline, progress=self._progress
                )
            apt_configuration, config, session = self._setup
        archive_sources = sources.resolve_sources(
            recipe.origin, recipe_dir=Path(recipe.path).parent, config=config, machine=apt_configuration
        )
        return archive_sources, session

    def load_indexes(
        self, sources: Sequence[Source], architectures: Sequence[str], session: Session
    ) -> Indexes:
        """Return the verified indexes of ``sources``, each loaded once; raises FetchError or TrustError."""
        from pumice.fetch import indexes

        key = (tuple(sources), tuple(architectures))
        with self._lock:
            if key not in self._indexes:
                self._indexes[key] = indexes.load_indexes(sources, architectures, session)
            return self._indexes[key]


class ArchiveConnection:
    """The sources of one recipe and a session to fetch from them; a context manager, thread-safe."""

    def __init__(
        self,
        recipe: Recipe,
        home: Home,
        environ: Mapping[str, str],
        *,
        offline: bool,
        progress: Progress,
        bundle: Path | None = None,
        archives: SharedArchives | None = None,
    ) -> None:
        """``bundle`` is a directory of packages that is tried before the mirrors.

        ``archives`` are those of a command with several recipes, which closes them; ``offline`` and
        ``progress`` are theirs then.
        """
        self._recipe = recipe
        self._bundle = bundle
        self._archives = archives or SharedArchives(home, environ, offline=offline, progress=progress)
        self._owns_archives = archives is None
        self._lock = threading.Lock()
        self._opened: tuple[Sequence[Source], Session] | None = None

    def __enter__(self) -> ArchiveConnection:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._owns_archives:
            self._archives.close()

    @property
    def recipe_directory(self) -> Path:
        """The directory that local packages and keys are relative to."""
        return Path(self._recipe.path).parent

    def open(self) -> tuple[Sequence[Source], Session]:
        """Return the sources and the session, opening them at the first call; raises PumiceError."""
        with self._lock:
            if self._opened is None:
                self._opened = self._archives.open_sources(self._recipe)
            return self._opened

    def load_indexes(self, architectures: Sequence[str]) -> Indexes:
        """Return the verified indexes of the sources; raises FetchError or TrustError."""
        archive_sources, session = self.open()
        if self._owns_archives:  # nobody asks again, and packages are cut in the memory of the indexes
            from pumice.fetch import indexes

            return indexes.load_indexes(archive_sources, architectures, session)
        return self._archives.load_indexes(archive_sources, architectures, session)

    def fetch_package(self, package: LockedPackage, lock: Lock | None = None) -> Digest:
        """Put a verified package into the store and return its digest.

        ``lock`` has the date for snapshot mirrors. Raises FetchError or TrustError.
        """
        from pumice.fetch import packages

        archive_sources, session = self.open()
        dates = [index.date for index in lock.indexes if index.archive == package.archive] if lock else []
        return packages.fetch_package(
            package,
            archive_sources,
            session,
            recipe_dir=self.recipe_directory,
            bundle=self._bundle,
            date=max(dates, default=0),
        )
