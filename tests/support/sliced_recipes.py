"""Recipes of the slices for Debian: in tests/data/sliced for bookworm, with other names for trixie."""

from __future__ import annotations

from tests.support.docs import ROOT

RECIPES = ROOT / "tests/data/sliced"
NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))
SUITES = ("bookworm", "trixie")
TRIXIE = {
    "debian: bookworm": "debian: trixie",
    "openjdk-17": "openjdk-21",
    "php8.2": "php8.4",
    "php-fpm8.2": "php-fpm8.4",
    "libphp8.2": "libphp8.4",
    "postgresql-15": "postgresql-17",
    "postgresql-client-15": "postgresql-client-17",
    "postgresql/15": "postgresql/17",
    "libpython3.11": "libpython3.13",
    "  - ruby-sdbm_modules\n": "",
    "  - git_perl-scripts\n": "",
    "  - php8.4-gd_modules\n": (
        "  - php8.4-gd_modules\n  - libheif-plugin-dav1d_modules\n  - libheif-plugin-libde265_modules\n"
    ),
    "libssl3_": "libssl3t64_",
    "  - redis-server_bins": "  - redis-server_bins\n  - valkey-server_bins\n  - valkey-tools_bins",
}


def recipe_text(name: str, suite: str) -> str:
    """Return the recipe ``name`` for a suite."""
    text = (RECIPES / f"{name}.yaml").read_text()
    if suite == "trixie":
        for old, new in TRIXIE.items():
            text = text.replace(old, new)
    return text
