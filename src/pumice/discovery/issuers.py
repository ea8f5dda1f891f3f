"""The keys that a signature says it is by, compared with the trusted ones before the image is downloaded.

What a signature says is not verified, so this only saves downloads that could not be accepted anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import TrustError
from pumice.formats import openpgpsig
from pumice.trust import openpgp, policy, signers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.trust.policy_files import PolicyDirectory
    from pumice.trust.trusted_key import TrustedKey


def check_trust(name: str, directories: Sequence[PolicyDirectory]) -> None:
    """Raise TrustError if no OpenPGP key is trusted for a name, so that no image of it can be accepted."""
    name_policy = policy.read_name_policy(name, directories)
    if not _openpgp_keys(name_policy.keys):
        raise TrustError(
            f"no OpenPGP key is trusted for {name}",
            hint=f"review and trust its keys with 'pumice trust add --prefix {suggest_prefix(name)}'",
        )


def check_issuers(
    signature: bytes, name: str, directories: Sequence[PolicyDirectory], url: str, now: int
) -> None:
    """Raise TrustError if a signature cannot be by enough keys that are trusted for a name."""
    name_policy = policy.read_name_policy(name, directories)
    signatures = list(openpgpsig.read_signatures(signature))
    issuers = [each.issuer for each in signatures if each.issuer and not each.problem]
    if not issuers:
        problem = next((each.problem for each in signatures if each.problem), "the file has no signature")
        raise TrustError(f"the signature cannot be used: {problem}", where=url)
    matching: list[TrustedKey] = []
    reasons: list[str] = []
    for trusted_key in _openpgp_keys(name_policy.keys):
        ring = openpgp.make_keyring([trusted_key.key])  # type: ignore[list-item]  # _openpgp_keys has certificates only
        if any(ring.find_certificate(issuer) is not None for issuer in issuers):
            reason = trusted_key.rejection_reason(now)
            if reason:
                reasons.append(f"the key {trusted_key.key.fingerprint.upper()} {reason}")
            else:
                matching.append(trusted_key)
    count = signers.count_signers(matching, name_policy.keys)
    if count >= max(1, name_policy.threshold):
        return
    shown = ", ".join(dict.fromkeys(issuer.upper() for issuer in issuers[:4]))
    problem = reasons[0] if reasons else f"it is by {shown}, which is not trusted for {name}"
    if matching:
        problem = f"{name_policy.threshold} trusted keys must have signed, but only {count} did"
    raise TrustError(
        f"the signature is not by a trusted key: {problem}",
        where=url,
        hint=f"the image was not downloaded; see 'pumice trust why {name}'",
    )


def list_certificates(name: str, directories: Sequence[PolicyDirectory]) -> tuple[bytes, ...]:
    """Return the OpenPGP certificates that are trusted for a name."""
    keys = policy.read_name_policy(name, directories).keys
    return tuple(dict.fromkeys(trusted_key.key.der for trusted_key in _openpgp_keys(keys)))


def _openpgp_keys(trusted_keys: Sequence[TrustedKey]) -> list[TrustedKey]:
    return [trusted for trusted in trusted_keys if isinstance(trusted.key, openpgp.Certificate)]


def suggest_prefix(name: str) -> str:
    """Return the prefix that a person probably trusts a key for: all names of the host."""
    return name.partition(":")[0].partition("/")[0]
