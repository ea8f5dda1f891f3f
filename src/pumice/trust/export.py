"""Exporting the policy for podman, skopeo and CRI-O.

See containers-policy.json(5) and containers-registries.d(5).
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from pumice.errors import TrustError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.trust.policy import Rule

UNSUPPORTED_KINDS = {"openpgp": "OpenPGP keys", "identity": "identities"}
"""Kinds of keys that a policy.json cannot express, in the plural."""


def containers_policy(
    rules: Sequence[Rule], thresholds: Mapping[str, int], mirrors: Mapping[str, str], *, now: int
) -> bytes:
    """Return a ``policy.json`` that accepts the same images of registries as the rules.

    A scope also lists the keys of the prefixes above it, because podman uses only the nearest scope.
    Images must be signed as the reference that is pulled (``HOST/REPO:TAG``), images of a mirror as the
    reference of its origin. OpenPGP keys are left out, because podman expects another kind of OpenPGP
    signature; identities are left out, because podman does not read bundles. Raises TrustError for a
    threshold above 1, which a policy.json cannot express.
    """
    live = [
        rule
        for rule in rules
        if not rule.key.rejection_reason(now) and rule.key.key.kind not in UNSUPPORTED_KINDS
    ]
    scopes: dict[str, Any] = {}
    for prefix in sorted({rule.prefix for rule in live} - mirrors.keys()):
        scopes[prefix] = [
            _signed_requirement(_read_pems(live, thresholds, prefix), {"type": "matchRepoDigestOrExact"})
        ]
    for prefix, origin in mirrors.items():
        if pems := _read_pems(live, thresholds, origin):
            identity = {"type": "remapIdentity", "prefix": prefix, "signedPrefix": origin}
            scopes[prefix] = [_signed_requirement(pems, identity)]
    policy = {
        "default": [{"type": "reject"}],
        "transports": {"docker": scopes} if scopes else {},
    }
    return json.dumps(policy, indent=2, sort_keys=True).encode() + b"\n"


def _read_pems(live: Sequence[Rule], thresholds: Mapping[str, int], prefix: str) -> list[bytes]:
    """Return the keys that are trusted for a prefix; raises TrustError for a threshold above 1."""
    nearest = max((scope for scope in thresholds if _covers(scope, prefix)), key=len, default=None)
    if nearest is not None and thresholds[nearest] > 1:
        raise TrustError(
            f"cannot export the threshold of {thresholds[nearest]} keys for {nearest or 'all names'}"
        )
    pems = {rule.key.key.fingerprint: rule.key.key.pem() for rule in live if _covers(rule.prefix, prefix)}
    return [pems[fingerprint] for fingerprint in sorted(pems)]


def registries_config(rules: Sequence[Rule], mirrors: Mapping[str, str]) -> bytes:
    """Return a file for ``registries.d`` that makes podman fetch the signatures of images."""
    rules = [rule for rule in rules if rule.key.key.kind not in UNSUPPORTED_KINDS]
    prefixes = sorted({rule.prefix for rule in rules if rule.prefix} | mirrors.keys())
    document: dict[str, Any] = {}
    if any(not rule.prefix for rule in rules):
        document["default-docker"] = {"use-sigstore-attachments": True}
    if prefixes:
        document["docker"] = {prefix: {"use-sigstore-attachments": True} for prefix in prefixes}
    return json.dumps(document, indent=2, sort_keys=True).encode() + b"\n"  # JSON is YAML


def _covers(upper: str, prefix: str) -> bool:
    return not upper or prefix == upper or prefix.startswith(f"{upper}/")


def _signed_requirement(pems: list[bytes], identity: dict[str, str]) -> dict[str, Any]:
    data = [base64.b64encode(pem).decode() for pem in pems]
    keys = {"keyData": data[0]} if len(data) == 1 else {"keyDatas": data}
    return {"type": "sigstoreSigned", "signedIdentity": identity, **keys}
