"""The archives of a recipe, opened when they are first needed and not before.

A build whose lock and segments are all there never comes here, so nothing of apt, the network or
OpenPGP is imported until a method is called.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pumice.clock import Clock
    from pumice.digest import Digest
    from pumice.distro.debian.sources import Source
    from pumice.fetch.indexes import Indexes
    from pumice.fetch.session import Session
    from pumice.progress import Progress
    from pumice.recipe.lock import LockedIndex, LockedPackage
    from pumice.recipe.model import Recipe
    from pumice.store.home import Home


class Archives:
    """Where a recipe's packages come from; a context manager, safe for threads.

    ``bundle`` is a folder to take packages from before any mirror is asked.
    """

    def __init__(
        self,
        recipe: Recipe,
        home: Home,
        *,
        environ: Mapping[str, str],
        progress: Progress,
        offline: bool = False,
        bundle: Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.recipe = recipe
        self.home = home
        self.progress = progress
        self.folder = Path(recipe.path).parent
        self._environ = environ
        self._offline = offline
        self._bundle = bundle
        self._clock = clock
        self._guard = threading.Lock()
        self._opened: tuple[Session, tuple[Source, ...]] | None = None
        self._date = 0

    def __enter__(self) -> Archives:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._opened:
            self._opened[0].close()

    def use(self, indexes: Iterable[LockedIndex]) -> None:
        """Ask snapshot mirrors for the time of these locked indexes."""
        self._date = max((index.date for index in indexes), default=0)

    def indexes(self, architectures: Sequence[str]) -> Indexes:
        """Return today's indexes for Debian ``architectures``; raises FetchError, TrustError."""
        from pumice.fetch import indexes

        session, sources = self._open()
        return indexes.load(sources, architectures, session)

    def fetch(self, package: LockedPackage) -> Digest:
        """Make sure that a locked package is a blob of the store, and return its digest."""
        from pumice.fetch import packages

        session, sources = self._open()
        return packages.fetch(
            package, sources, session, recipe_dir=self.folder, bundle=self._bundle, date=self._date
        )

    def keep(self, package: LockedPackage, folder: Path) -> None:
        """Fetch a locked package and copy it into the bundle ``folder``."""
        from pumice.fetch import packages

        self.fetch(package)
        packages.keep(package, self._open()[0], folder)

    def _open(self) -> tuple[Session, tuple[Source, ...]]:
        with self._guard:
            if self._opened is None:
                from pumice.distro import config
                from pumice.distro.debian import machine
                from pumice.distro.debian.sources import sources
                from pumice.fetch.session import Session

                apt = machine.read()
                found = sources(
                    self.recipe.origin, recipe_dir=self.folder, config=config.load(self._environ), machine=apt
                )
                session = Session(
                    self.home,
                    offline=self._offline,
                    progress=self.progress,
                    clock=self._clock,
                    machine=apt,
                    environ=self._environ,
                )
                self._opened = session, found
            return self._opened
