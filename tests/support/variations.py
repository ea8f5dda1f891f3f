"""Builds of synthetic packages in conditions that must not matter: stores, threads, order of directories."""

from __future__ import annotations

import hashlib
import os
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from pumice.assembly.context import BuildContext
from pumice.assembly.image import build_image
from pumice.errors import PumiceError
from pumice.progress import Silent
from pumice.recipe.load import load_recipe
from pumice.recipe.lock import Lock, LockedPackage
from pumice.store.home import Home

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from pumice.digest import Digest
    from tests.support.deb import Deb

Result = tuple[str, ...]
"""The digests of an image, its facts and its documents; or the error."""


def lock_of(packages: Sequence[Deb], lock_format: int) -> Lock:
    """Return a lock of exactly ``packages``."""
    pins = []
    for package in sorted(packages, key=lambda package: package.name):
        data = package.build()
        pins.append(
            LockedPackage(
                name=package.name,
                version=package.version,
                architecture=package.architecture,
                archive="debian",
                suite="bookworm",
                path=package.pool_path(),
                size=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
            )
        )
    return Lock(requirements="sha256:" + "0" * 64, packages={"amd64": tuple(pins)}, format=lock_format)


def build(
    folder: Path,
    packages: Sequence[Deb],
    extra: str = "",
    *,
    lock_format: int,
    processors: int,
    seed: int,
) -> Result:
    """Build ``packages`` in the store at ``folder``; return everything that must be equal."""
    project = folder.parent / "project"
    project.mkdir(exist_ok=True)
    recipe = project / "recipe.yaml"
    recipe.write_text(f'name: example.com/x\nversion: "1"\nfrom: {{debian: bookworm}}\nbase: none\n{extra}')
    by_name = {package.name: package for package in packages}

    with Home(folder) as home, shuffled_folders(seed):

        def fetch(package: LockedPackage) -> Digest:
            with home.blobs.writer() as writer:
                writer.write(by_name[package.name].build())
                return writer.commit()

        context = BuildContext(home=home, fetch_package=fetch, processors=processors, progress=Silent())
        try:
            built = build_image(load_recipe(recipe), lock_of(packages, lock_format), ("amd64",), context)
        except PumiceError as error:
            return (type(error).__name__, str(error))
        attached = sorted(
            variation.digest for artifacts in built.evidence.values() for variation in artifacts
        )
        return (built.root.digest, built.platforms["amd64"].facts, *attached)


class _Entries:
    """The result of `os.scandir` in another order."""

    def __init__(self, entries: list[os.DirEntry[str]]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Iterator[os.DirEntry[str]]:
        return self._entries

    def __next__(self) -> os.DirEntry[str]:
        return next(self._entries)

    def __enter__(self) -> _Entries:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Do nothing: everything has been read."""


@contextmanager
def shuffled_folders(seed: int) -> Iterator[None]:
    """List directories in a random order, as the system may."""
    chance = random.Random(seed)
    listdir, scandir = os.listdir, os.scandir

    def shuffled_names(path: object = ".") -> list[str]:
        names = listdir(path)  # type: ignore[call-overload]  # os.listdir is overloaded
        chance.shuffle(names)
        return names  # type: ignore[no-any-return]  # os.listdir is overloaded

    def shuffled_entries(path: object = ".") -> _Entries:
        with scandir(path) as entries:  # type: ignore[call-overload]  # os.scandir is overloaded
            shuffled = list(entries)
        chance.shuffle(shuffled)
        return _Entries(shuffled)

    with mock.patch("os.listdir", shuffled_names), mock.patch("os.scandir", shuffled_entries):
        yield
