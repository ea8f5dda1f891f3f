"""The compared tasks: the same work by Pumice and by another tool, with and without a cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import apk, mirror
from bench.measure import Contender
from bench.sets import EXTRA, SETS, Recipe

PUMICE = (sys.executable, "-m", "pumice")
BARE = (sys.executable, "-m", "bench.bare")
_ROOT = os.pathsep.join([str(Path(__file__).parent.parent), *sys.path[1:]])
_SECRET = {"PUMICE_KEY_PASSPHRASE": "benchmark"}


@dataclass(frozen=True)
class Scenario:
    """Contenders for one piece of work; ours first."""

    name: str
    contenders: tuple[Contender, ...]


class Workshop:
    """A folder with everything that the scenarios of one set need; made once, kept between calls."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.root = root / name
        self.packages = SETS[name]
        self.root.mkdir(parents=True, exist_ok=True)
        self.recipe = Recipe(self.root / "mirror" / "recipe.yaml", self.packages).write()
        self.files = self._fetch()

    def _fetch(self) -> list[Path]:
        bundle = self.root / "bundle"
        if not bundle.is_dir():
            self.run("lock", str(self.recipe), "--bundle", str(bundle), store="prepare")
        return sorted(bundle.rglob("*.deb"))

    def run(self, *arguments: str, store: str) -> None:
        """Run ``pumice`` on one of the shop's stores, untimed."""
        environment = {"PUMICE_HOME": str(self.root / store)}
        subprocess.run([*PUMICE, *arguments], check=True, env=environment, stdout=subprocess.DEVNULL)

    def names(self) -> list[str]:
        """The names of all packages of the set."""
        return [path.name.split("_")[0] for path in self.files]

    def local_mirror(self) -> Path:
        """Write a signed archive of exactly this set."""
        folder = self.root / "archive"
        if not folder.is_dir():
            mirror.publish(self.files, folder)
        return folder

    def apks(self) -> Path:
        """The same packages as apks."""
        folder = self.root / f"apks-{apk.FORMAT}"
        if not folder.is_dir():
            apk.repack(self.files, folder)
        return folder

    def key(self) -> Path:
        """Return a signing key with a passphrase."""
        base = self.root / "key"
        if not base.with_suffix(".key").is_file():
            command = [*PUMICE, "key", "generate", "--output", str(base)]
            environment = {**os.environ, **_SECRET, "PUMICE_HOME": str(self.root / "prepare")}
            subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        return base.with_suffix(".key")

    def pumice(self, recipe: Path, store: str, *, fresh: bool) -> Contender:
        """Return Pumice building ``recipe``; ``fresh`` means an empty store and no lock in each run."""
        home = self.root / store

        def prepare(_: int) -> None:
            if fresh:
                shutil.rmtree(home, ignore_errors=True)
                recipe.with_suffix(".lock").unlink(missing_ok=True)

        return Contender(
            "pumice",
            lambda _: [*PUMICE, "build", str(recipe), "--progress", "none"],
            prepare,
            {"PUMICE_HOME": str(home)},
        )


def from_the_mirror(shop: Workshop) -> Scenario:
    """Return a build from the mirror of the distribution with an empty store, compared with mmdebstrap."""
    ours = shop.pumice(shop.recipe, "cold", fresh=True)
    contenders = [ours]
    if shutil.which("mmdebstrap"):
        packages = ",".join(name for name in shop.names() if name not in ("base-files", "base-passwd"))
        tarball = str(shop.root / "mmdebstrap.tar")
        command = ["mmdebstrap", "--quiet", "--variant=extract", f"--include={packages}", "bookworm", tarball]
        contenders.append(Contender("mmdebstrap", lambda _: command))
    return Scenario(f"{shop.name}: from the mirror, nothing there yet", tuple(contenders))


def from_a_local_mirror(shop: Workshop, url: str) -> Iterator[Scenario]:
    """Return builds from a loopback mirror without exclusions, cold and unchanged, compared with apko."""
    key = shop.local_mirror() / "key.asc"
    recipe = Recipe(shop.root / "local" / "recipe.yaml", shop.packages).write(
        mirror=f"{url}/archive", key=str(key), everything=True
    )
    for fresh, description in ((True, "nothing there yet"), (False, "nothing changed")):
        contenders = [shop.pumice(recipe, "local-store", fresh=fresh)]
        if shutil.which("apko"):
            contenders.append(_apko(shop, url, fresh=fresh))
        yield Scenario(f"{shop.name}: from a local mirror, {description}", tuple(contenders))


def _apko(shop: Workshop, url: str, *, fresh: bool) -> Contender:
    apks = shop.apks()
    config = shop.root / "apko.yaml"
    lines = [f"contents:\n  repositories: ['{url}/{apks.name}']\n  packages:"]
    lines += [f"    - {name}" for name in (apk.MERGED, *shop.names())]
    config.write_text("\n".join(lines) + "\narchs: [x86_64]\n")
    cache = shop.root / "apko-cache"
    cache.mkdir(exist_ok=True)

    def prepare(_: int) -> None:
        if fresh:
            shutil.rmtree(cache, ignore_errors=True)
            cache.mkdir()

    command = ["apko", "build", "--ignore-signatures", "--sbom=false", "--cache-dir", str(cache)]
    return Contender(
        "apko", lambda _: [*command, str(config), "bench:1", str(shop.root / "apko.tar")], prepare
    )


def evidence(shop: Workshop) -> Scenario:
    """All of it cold from packages at hand: with evidence and signatures, and without either.

    No network blurs what is compared; the ratio is what evidence and signatures cost.
    """
    recipe = Recipe(shop.root / "evidence" / "recipe.yaml", shop.packages).write()
    bundle = shop.root / "bundle"
    if not recipe.with_suffix(".lock").is_file():
        shop.run("lock", str(recipe), "--bundle", str(bundle), store="prepare")
    build = ("build", str(recipe), "--progress", "none", "--locked", "--offline", "--bundle", str(bundle))
    home = shop.root / "evidence-store"

    def contender(name: str, *command: str) -> Contender:
        return Contender(
            name,
            lambda _: command,
            lambda _: shutil.rmtree(home, ignore_errors=True),
            {"PUMICE_HOME": str(home), "PYTHONPATH": _ROOT, **_SECRET},
        )

    return Scenario(
        f"{shop.name}: SBOM, provenance and signatures, nothing there yet",
        (
            contender("pumice, signing", *PUMICE, *build, "--sign", str(shop.key())),
            contender("pumice without evidence", *BARE, *build),
        ),
    )


def one_package_more(shop: Workshop) -> Scenario:
    """Return a build with one more small package, fetched before; each run adds another one."""
    recipes = []
    for number, extra in enumerate(EXTRA):
        path = shop.root / "more" / f"r{number}" / "recipe.yaml"
        recipes.append(Recipe(path, (*shop.packages, extra)).write())
    store = "more-store"
    shutil.rmtree(shop.root / store, ignore_errors=True)
    shop.run("build", str(shop.recipe), store=store)
    for path in recipes:
        shop.run("lock", str(path), "--bundle", str(shop.root / "more-bundle"), store=store)
    ours = Contender(
        "pumice",
        lambda number: [*PUMICE, "build", str(recipes[number]), "--locked", "--progress", "none"],
        environment={"PUMICE_HOME": str(shop.root / store)},
    )
    return Scenario(f"{shop.name}: one package added", (ours,))


def one_file_changed(shop: Workshop) -> Scenario:
    """Return a build after a change of one file of the application."""
    app = shop.root / "app" / "app"
    app.mkdir(parents=True, exist_ok=True)
    recipe = Recipe(shop.root / "app" / "recipe.yaml", shop.packages).write(app="app")
    store = "app-store"
    (app / "main.py").write_text("print(0)\n")
    shop.run("build", str(recipe), store=store)
    ours = Contender(
        "pumice",
        lambda _: [*PUMICE, "build", str(recipe), "--progress", "none"],
        lambda number: (app / "main.py").write_text(f"print('{number} of a new world')\n"),
        {"PUMICE_HOME": str(shop.root / store)},
    )
    return Scenario(f"{shop.name}: one file of the application changed", (ours,))
