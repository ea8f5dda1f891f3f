"""The way to a recipe's archives, opened only when something must be fetched after all."""

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
    """Sources and a session for one recipe; a context manager, safe for threads.

    A build of which nothing changed never opens it, and so imports no HTTP and reads no apt
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
        """``bundle`` is a folder of packages to take before asking a mirror."""
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
        """Where local packages and keys are looked for."""
        return Path(self._recipe.path).parent

    def open(self) -> tuple[Sequence[Source], Session]:
        """Return the recipe's sources and the session; raises PumiceError."""
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
            config=config.load(self._environ),
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
        """Return the verified indexes of the recipe's sources."""
        from pumice.fetch import indexes

        archive_sources, session = self.open()
        return indexes.load(archive_sources, architectures, session)

    def fetch_package(self, package: LockedPackage, lock: Lock | None = None) -> Digest:
        """Make a package a verified blob of the store and return its digest."""
        from pumice.fetch import packages

        archive_sources, session = self.open()
        dates = [index.date for index in lock.indexes if index.archive == package.archive] if lock else []
        return packages.fetch(
            package,
            archive_sources,
            session,
            recipe_dir=self.recipe_directory,
            bundle=self._bundle,
            date=max(dates, default=0),
        )
