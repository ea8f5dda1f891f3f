"""How many different signers some keys are: what a threshold counts.

One person may hold several keys that are trusted: the one that took the place of another, or one key in
two forms, as PEM and as an OpenPGP certificate. Counted apart, one person would be two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.trust.openpgp import Certificate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.trust.keys import PublicKey
    from pumice.trust.trusted_key import TrustedKey


def known_fingerprints(key: PublicKey) -> frozenset[str]:
    """Return all fingerprints by which a key may be known.

    Of an OpenPGP certificate these are its own, and those that its keys have when they stand in PEM.
    """
    if not isinstance(key, Certificate):
        return frozenset({key.fingerprint})
    from pumice.formats import openpgpkey

    return frozenset({key.fingerprint, *openpgpkey.spki_fingerprints(key.der)})


def group_by_signer(trusted: Sequence[TrustedKey]) -> dict[str, int]:
    """Return a number for each fingerprint: equal ones belong to one signer."""
    groups: dict[str, int] = {}
    for number, one in enumerate(trusted):
        fingerprints = known_fingerprints(one.key) | ({one.replaces} if one.replaces else frozenset())
        merged = {groups[name] for name in fingerprints if name in groups}
        groups |= dict.fromkeys(fingerprints, number)
        for name, group in groups.items():
            if group in merged:
                groups[name] = number
    return groups


def count_signers(signing_keys: Iterable[TrustedKey], trusted: Sequence[TrustedKey]) -> int:
    """Return how many signers these keys are."""
    return len(signer_numbers(signing_keys, trusted))


def signer_numbers(signing_keys: Iterable[TrustedKey], trusted: Sequence[TrustedKey]) -> set[int]:
    """Return the signers that these keys, which are among the trusted, belong to."""
    groups = group_by_signer(trusted)
    return {groups[one.key.fingerprint] for one in signing_keys}
