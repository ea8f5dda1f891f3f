"""Counting signers for thresholds: several trusted keys may belong to one signer.

A signer may have a key and its replacement, or one key both in PEM and as an OpenPGP certificate. Without
grouping them, one signer could satisfy a threshold of two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.trust.openpgp import Certificate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.trust.keys import PublicKey
    from pumice.trust.trusted_key import TrustedKey


def known_fingerprints(key: PublicKey) -> frozenset[str]:
    """Return all fingerprints of a key.

    An OpenPGP certificate has its own and those of its keys in PEM.
    """
    if not isinstance(key, Certificate):
        return frozenset({key.fingerprint})
    from pumice.formats import openpgpkey

    return frozenset({key.fingerprint, *openpgpkey.spki_fingerprints(key.der)})


def group_by_signer(trusted: Sequence[TrustedKey]) -> dict[str, int]:
    """Return the number of the signer for each fingerprint of the trusted keys."""
    groups: dict[str, int] = {}
    for number, trusted_key in enumerate(trusted):
        fingerprints = set(known_fingerprints(trusted_key.key))
        if trusted_key.replaces:
            fingerprints.add(trusted_key.replaces)
        merged = {groups[name] for name in fingerprints if name in groups}
        groups |= dict.fromkeys(fingerprints, number)
        for name, group in groups.items():
            if group in merged:
                groups[name] = number
    return groups


def count_signers(signing_keys: Iterable[TrustedKey], trusted: Sequence[TrustedKey]) -> int:
    """Return how many signers the keys, which are among the trusted ones, belong to."""
    return len(signer_numbers(signing_keys, trusted))


def signer_numbers(signing_keys: Iterable[TrustedKey], trusted: Sequence[TrustedKey]) -> set[int]:
    """Return the numbers of the signers that the keys, which are among the trusted ones, belong to."""
    groups = group_by_signer(trusted)
    return {groups[trusted_key.key.fingerprint] for trusted_key in signing_keys}
