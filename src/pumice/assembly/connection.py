"""A connection to the archives of a recipe, opened only when something must be fetched."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.digest import Digest
    from pumice.distro.debian.sources import Source
    from pumice.fetch.indexes import Indexes
    from pumice.fetch.session import Session
    from pumice.progress import Progress
    from pumice.recipe.lock import Lock, LockedPackage
    from pumice.recipe.model import Recipe
    from pumice.store.home import Home


class ArchiveConnection:
    """The sources of one recipe and a session to fetch from them; a context manager, thread-safe.

    A build in which nothing changed never opens it, so it imports no HTTP client and reads no apt
    configuration.
    """

    def __init__(
        self,
        recipe: Recipe,
        home: Home,
        environ: Mapping[str, str],
        *,
        offline: bool,
        progress: Progress,
        bundle: Path | None = None,
    ) -> None:
        """``bundle`` is a directory of packages that is tried before the mirrors."""
        self._recipe = recipe
        self._home = home
        self._environ = environ
        self._offline = offline
        self._progress = progress
        self._bundle = bundle
        self._lock = threading.Lock()
        self._opened: tuple[Sequence[Source], Session] | None = None

    def __enter__(self) -> ArchiveConnection:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._opened:
            self._opened[1].close()

    @property
    def recipe_directory(self) -> Path:
        """The directory that local packages and keys are relative to."""
        return Path(self._recipe.path).parent

    def open(self) -> tuple[Sequence[Source], Session]:
        """Return the sources and the session, opening them at the first call; raises PumiceError."""
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> tuple[Sequence[Source], Session]:
        from pumice.distro.debian import apt_setup, sources
        from pumice.fetch.session import Session
        from pumice.recipe import config

        apt_configuration = apt_setup.read_apt_setup()
        archive_sources = sources.resolve_sources(
            self._recipe.origin,
            recipe_dir=self.recipe_directory,
            config=config.load_config(self._environ),
            machine=apt_configuration,
        )
        session = Session(
            self._home,
            offline=self._offline,
            progress=self._progress,
            machine=apt_configuration,
            environ=self._environ,
        )
        return archive_sources, session

    def load_indexes(self, architectures: Sequence[str]) -> Indexes:
        """Return the verified indexes of the sources; raises FetchError or TrustError."""
        from pumice.fetch import indexes

        archive_sources, session = self.open()
        return indexes.load_indexes(archive_sources, architectures, session)

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
