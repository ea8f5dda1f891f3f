"""Public keys and identities that the caller names, instead of those of the policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.trust import key_files, policy, public_keys
from pumice.trust.trusted_key import TrustedKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pumice.trust.keyless import Identity


def read_explicit_keys(
    texts: Iterable[str], environ: Mapping[str, str], identities: Iterable[Identity] = ()
) -> tuple[TrustedKey, ...]:
    """Return the keys in files, or with names from the key directory, and the identities, as trusted.

    A revocation by the policy counts. Raises TrustError for a key that does not exist.
    """
    revocations = policy.read_revocations(policy.policy_directories(environ))
    trusted: list[TrustedKey] = []
    for text in texts:
        path = key_files.find_key_file(text, ".pub", environ)
        key = public_keys.read_public_key(path)
        reason = policy.revocation_reason(key, revocations)
        trusted.append(TrustedKey(key=key, rule=f"--key {text}", label=path.name, revocation=reason))
    for identity in identities:
        reason = revocations.get(identity.fingerprint, "")
        trusted.append(TrustedKey(key=identity, rule="--identity", label=identity.title, revocation=reason))
    return tuple(trusted)
