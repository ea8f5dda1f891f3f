"""The keys of a recipe's ``from``: the distribution, its mirrors and further archives."""

from __future__ import annotations

from pumice.recipe import grammar, model
from pumice.recipe.kinds import Flag, Integer, Key, ListOf, Table, Text

ARCHIVE = Table(
    model.ExtraArchive,
    (
        Key(
            "name",
            Text(grammar.ARCHIVE, grammar.parse_archive_name),
            "Its name in locks and messages.",
            "tools",
            True,
        ),
        Key(
            "url",
            Text(grammar.URL),
            "The URL of the directory that contains `dists`, or of a flat archive.",
            "https://mirror.example/tools",
            True,
        ),
        Key(
            "suite",
            Text(grammar.ARCHIVE_SUITE, grammar.parse_archive_suite),
            "The suite to use; for a flat archive its directory, with `/` at the end.",
            "bookworm",
            True,
        ),
        Key(
            "components",
            ListOf(Text(grammar.COMPONENT), identity="value", min_length=1),
            "The components to use.",
            "[main]",
        ),
        Key(
            "key",
            Text(grammar.FILE, path="always"),
            "Its OpenPGP keyring, a path relative to the recipe or absolute.",
            "keys/tools.asc",
        ),
        Key("trusted", Flag(), "Use it without a signature.", "true"),
        Key(
            "packages",
            ListOf(Text(grammar.PACKAGE_PATTERN), identity="value", min_length=1),
            "The only packages to take from it, also as dependencies and instead of Debian's.",
            '[libpq5, "postgresql-*"]',
        ),
        Key(
            "priority",
            Integer(1, 1000),
            "The priority of its packages, as in apt_preferences(5); Debian's is 500.",
            "500",
        ),
    ),
    grammar.check_archive,
)

ORIGIN = Table(
    model.Origin,
    (
        Key("debian", Text(grammar.SUITE, loose=True), "The suite, by its codename.", "bookworm", True),
        Key(
            "mirrors",
            ListOf(Text(grammar.URL), identity="value"),
            "Mirrors of the archive, tried in turn.",
            "[https://mirror.example/debian]",
        ),
        Key(
            "security_mirrors",
            ListOf(Text(grammar.URL), identity="value"),
            "Mirrors of the security archive, tried in turn.",
            "[https://mirror.example/debian-security]",
        ),
        Key(
            "snapshots",
            ListOf(Text(grammar.SNAPSHOT), identity="value"),
            "URL templates of snapshot mirrors; `{date}` is replaced by the date of the lock.",
            '["https://snapshot.example/{date}/debian"]',
        ),
        Key(
            "components",
            ListOf(Text(grammar.COMPONENT), identity="value", min_length=1),
            "The components to use.",
            "[main, contrib]",
        ),
        Key(
            "keyrings",
            ListOf(Text(grammar.FILE, path="always"), identity="value"),
            "OpenPGP keyrings to verify with, paths relative to the recipe or absolute.",
            "[keys/archive.asc]",
        ),
        Key(
            "suites",
            ListOf(Text(grammar.SUITE), identity="value"),
            "The suites to use instead of release, updates and security.",
            "[bookworm, bookworm-backports]",
        ),
        Key(
            "archives",
            ListOf(ARCHIVE, identity="name"),
            "Extra archives with Debian's layout.",
            "[{name: tools, url: https://mirror.example/tools, suite: bookworm, key: keys/tools.asc}]",
        ),
    ),
)
