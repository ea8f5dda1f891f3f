"""Discover the keys of a prefix, and confirm their fingerprints."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pumice.cli.display import output, progress_modes
from pumice.cli.image_access import discovery_options
from pumice.cli.trust import new_key, rule_files
from pumice.errors import TrustError

if TYPE_CHECKING:
    import argparse

    from pumice.discovery.keys import DiscoveredKey
    from pumice.trust.keys import PublicKey


def read_confirmed_keys(options: argparse.Namespace, prefix: str) -> list[tuple[PublicKey, str]]:
    """Return the keys that are discovered for a prefix and confirmed, with their labels.

    With ``--fingerprint`` it is the one that has it. Raises TrustError if none is left.
    """
    from pumice.discovery import keys
    from pumice.store.home import Home, locate

    if options.fingerprint is None:
        new_key.require_terminal(prefix)  # before anything is fetched
    progress = progress_modes.make_progress("none")
    with (
        Home(locate(os.environ), progress=progress) as home,
        discovery_options.open_session(prefix, options, home, progress) as session,
    ):
        discovered = keys.discover_keys(prefix, session)
    if options.fingerprint is not None:
        return [_find_key(discovered, new_key.read_fingerprint(options.fingerprint), prefix)]
    new_keys = _without_trusted(discovered, prefix)
    confirmed = [each for each in new_keys if new_key.confirm_key(each.key, each.url, prefix)]
    if new_keys and not confirmed:
        raise TrustError("no key was added", where=prefix)
    return [_label(each) for each in confirmed]


def _find_key(discovered: list[DiscoveredKey], fingerprint: str, prefix: str) -> tuple[PublicKey, str]:
    for each in discovered:
        if each.key.fingerprint == fingerprint:
            return _label(each)
    fingerprints = ", ".join(each.key.fingerprint for each in discovered[:4])
    raise TrustError(
        f"no discovered key has the fingerprint {fingerprint[:64]}: there is {fingerprints}",
        where=prefix,
        hint="ask the key's owner for the fingerprint; do not trust the key until it matches",
    )


def _without_trusted(discovered: list[DiscoveredKey], prefix: str) -> list[DiscoveredKey]:
    """Return the keys that are not trusted for the prefix yet, and report the others."""
    from pumice.trust import policy

    name_policy = policy.read_name_policy(f"{prefix}:0", rule_files.policy_directories())
    trusted = {each.key.fingerprint for each in name_policy.keys}
    for each in discovered:
        if each.key.fingerprint in trusted:
            line = f"{each.key.fingerprint} is trusted for {prefix} already"
            print(output.printable(line), file=sys.stderr)
    return [each for each in discovered if each.key.fingerprint not in trusted]


def _label(discovered: DiscoveredKey) -> tuple[PublicKey, str]:
    return discovered.key, f"discovered at {discovered.url}"
