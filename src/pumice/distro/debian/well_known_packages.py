"""Packages that only some of Debian's suites have, for hints when a recipe names one for another suite.

The table is short: it has the packages that people look for in the wrong suite. A cached index of another
suite is asked first (`pumice.fetch.index_cache.find_suites`).
"""

from __future__ import annotations

import re

_SUITES_BY_PATTERN = (
    (r"golang-1\.15(-.+)?", ("bullseye",)),
    (r"libicu67|libssl1\.1|openjdk-11-.+|php7\.4(-.+)?|postgresql-(client-)?13", ("bullseye",)),
    (r"python3\.9(-.+)?|ruby2\.7(-.+)?|tomcat9(-.+)?", ("bullseye",)),
    (r"libc-client2007e|netdata|neofetch|openjdk-17-.+|php-imap", ("bookworm", "bullseye")),
    (r"golang-1\.19(-.+)?|libicu72|libssl3|php8\.2(-.+)?|postgresql-(client-)?15", ("bookworm",)),
    (r"python3\.11(-.+)?|ruby3\.1(-.+)?", ("bookworm",)),
    (r"caddy|crystal|hyperfine|kea-.+-server|pipx|tomcat10(-.+)?", ("trixie", "bookworm")),
    (r"docker-cli|eza|fastfetch|golang-1\.24(-.+)?|just|libicu76|libssl3t64|openjdk-2[15]-.+", ("trixie",)),
    (r"php8\.4(-.+)?|postgresql-(client-)?17|python3\.13(-.+)?|ruby3\.3(-.+)?", ("trixie",)),
    (r"rustup|starship|tomcat11(-.+)?|valkey-(server|sentinel|tools)", ("trixie",)),
)


def find_known_suites(name: str) -> tuple[str, ...]:
    """Return the suites that are known to have the package ``name``, the newest first."""
    for pattern, suites in _SUITES_BY_PATTERN:
        if re.fullmatch(pattern, name):
            return suites
    return ()
