"""``pumice verify``: who vouches for an image."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.cli import arguments as command_line
from pumice.cli import output, registries, signing
from pumice.errors import TrustError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from pumice.image.model import Image
    from pumice.store.home import Home
    from pumice.trust.admission import Check, Decision
    from pumice.trust.image_verification import EvaluatedClaim
    from pumice.trust.keyless import Identity
    from pumice.trust.policy import PolicyDirectory
    from pumice.trust.trusted_key import TrustedKey

_EPILOG = """Without --key the rules of 'pumice trust' decide. No network is used but that of a docker:// REF,
of which only manifests are checked. The exit code is 7 if the image is not trusted; the message says
why. Once an image was accepted, an older one of the same name is refused."""


def _parser() -> argparse.ArgumentParser:
    made = command_line.make_parser(
        "verify",
        "Check who signed an image, as what, that no newer one is known, and that its content is whole.",
        progress=False,
        epilog=_EPILOG,
    )
    made.add_argument(
        "reference", metavar="REF", help="name:version, a digest, oci:DIR, oci-archive:FILE or docker://…"
    )
    made.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="PUB",
        help="trust this key, and no rule; may be repeated",
    )
    signing.identity_options(made, "trust, and no rule, ")
    made.add_argument(
        "--signature",
        type=Path,
        metavar="FILE",
        help="where an archive's OpenPGP signatures are, if not in ARCHIVE.asc",
    )
    made.add_argument(
        "--as", dest="name", default="", metavar="NAME", help="what the image must be signed as"
    )
    made.add_argument(
        "--attestation",
        metavar="TYPE",
        help="also require an attestation of this type, of the image or of each platform",
    )
    made.add_argument(
        "--policy", type=Path, metavar="FILE", help="what must stand in the attestation: JSON, a part of it"
    )
    made.add_argument("--allow-older", action="store_true", help="accept an older image than before")
    made.add_argument(
        "--allow-built-here", action="store_true", help="accept an unsigned image that this store built"
    )
    made.add_argument(
        "--no-content", dest="content", action="store_false", help="do not hash the configs and layers"
    )
    made.add_argument(
        "--format", choices=("text", "json"), default="text", metavar="FORMAT", help="text or json"
    )
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = _parser().parse_args(arguments)
    if asked.policy and not asked.attestation:
        raise UsageError("--policy needs --attestation TYPE", hint="it says what the attestation must hold")
    policy = None
    if asked.policy:
        from pumice.cli.attest import read

        policy = read(asked.policy, "policy")
    decision = _decide(asked, policy)
    if asked.format == "json":
        import json

        sys.stdout.write(json.dumps(as_json(decision), indent=2) + "\n")
    else:
        sys.stdout.write("".join(f"{output.printable(line)}\n" for line in as_text(decision)))
    return 0


def _decide(asked: argparse.Namespace, policy: Any) -> Decision:
    from pumice.clock import SystemClock
    from pumice.store.home import Home, locate
    from pumice.trust import admission
    from pumice.trust import policy as keyring

    now = SystemClock().now()
    levels = keyring.policy_directories(os.environ)
    request = admission.Request(
        reference=asked.reference,
        name=asked.name,
        keys=_keys(asked, levels),
        allow_older=asked.allow_older,
        allow_built_here=asked.allow_built_here,
    )
    with Home(locate(os.environ)) as home, registries.open_image(asked.reference, home) as found:
        image = _with_signature(found, asked.signature)
        decision = admission.judge(image, "verify", home, request, levels, now=now)
        if asked.attestation:
            _require(image, home, decision, asked.attestation, policy, now)
        remote = bool(registries.describe(asked.reference).repository)
        checks = (*decision.checks, _content(image, registry=remote, whole=asked.content))
        if decision.warning:
            print(f"warning: {output.printable(decision.warning)}", file=sys.stderr)
        admission.record(decision, home)
    return msgspec.structs.replace(decision, checks=checks)


def _keys(asked: argparse.Namespace, levels: Sequence[PolicyDirectory]) -> tuple[TrustedKey, ...] | None:
    """Return the keys and identities of the command line, None if there are none."""
    from pumice.trust import policy as keyring

    who = _identities(asked)
    if not asked.key and not who:
        return None
    revoked = keyring.read_revocations(levels)
    return (
        *(_given(text, revoked) for text in asked.key),
        *(_somebody(one, revoked) for one in who),
    )


def _content(image: Image, *, registry: bool, whole: bool) -> Check:
    """Check the digests of what the image consists of, as far as it is here."""
    from pumice.image import integrity
    from pumice.trust.admission import Check

    if registry:
        count = integrity.check_manifests(image)
        detail = f"{count} manifest{'s' * (count != 1)} only; layers are hashed when they are pulled"
        return Check("content", True, detail)
    if not whole:
        return Check("content", False, "configs and layers were not hashed (--no-content)")
    hashed = integrity.check_blobs(image)
    detail = f"{hashed.blobs} blobs, {output.format_size(hashed.size)}, have their digests"
    if hashed.absent:
        detail += f"; {hashed.absent} that may not be distributed are not there"
    return Check("content", True, detail)


def _with_signature(image: Image, signature: Path | None) -> Image:
    if signature is None:
        return image
    if image.archive is None:
        raise UsageError("--signature is for an archive", hint="other images have their signatures with them")

    return image.inside(msgspec.structs.replace(image.archive, signature=signature))


def _given(text: str, revoked: Mapping[str, str]) -> TrustedKey:
    from pumice.trust import key_files, public_keys
    from pumice.trust import policy as keyring
    from pumice.trust.trusted_key import TrustedKey

    path = key_files.find_key_file(text, ".pub", os.environ)
    key = public_keys.read_public_key(path)
    return TrustedKey(
        key=key, rule=f"--key {text}", label=path.name, revoked=keyring.revocation_reason(key, revoked)
    )


def _identities(asked: argparse.Namespace) -> list[Identity]:
    found = signing.identity(asked)
    if found is None:
        return []
    from pumice.trust import keyless

    keyless.require_sigstore()
    return [found]


def _somebody(who: Identity, revoked: Mapping[str, str]) -> TrustedKey:

    reason = revoked.get(who.fingerprint, "")
    from pumice.trust.trusted_key import TrustedKey

    return TrustedKey(key=who, rule="--identity", label=who.title, revoked=reason)


def _require(image: Image, home: Home, decision: Decision, kind: str, policy: Any, now: int) -> None:
    """Refuse unless the image, or each of its platforms, has an attestation as the policy asks."""
    from pumice.formats import intoto
    from pumice.trust import document_verification
    from pumice.trust.image_verification import find_mismatch

    uri = intoto.parse_predicate_type(kind)
    about = document_verification.check_attestations(
        *(image, home, decision.keys, uri),
        expected=decision.expected,
        now=now,
        check=lambda claim: find_mismatch(policy, claim.predicate) if policy is not None else "",
    )
    for digest, problems in about.items():
        if not problems:
            raise TrustError(f"no trusted key attests {uri} of the image", where=digest)
        if all(problems):
            text = f"the attestation {uri} is not as the policy asks, at {problems[0]}"
            raise TrustError(text, where=digest)


def as_text(decision: Decision) -> Iterator[str]:
    """Yield what a person wants to know."""
    yield f"{decision.name or 'no name'}  {decision.digest}"
    for one in _unique(decision.signatures):
        yield f"signed   by {_by(one)}{_when(one)}"
    if decision.threshold > 1:
        yield f"needed   {decision.threshold} different keys"
    for one in _unique(decision.attestations):
        yield f"attested {one.claim.predicate_type} by {_by(one)}"
    for reason in sorted({f"{_kind(one)} by {one.claim.form}: {one.problem}" for one in decision.others}):
        yield f"ignored  {reason}"
    for check in decision.checks:
        yield f"{'checked' if check.passed else 'skipped'}  {check.subject}: {check.detail}"


def _kind(one: EvaluatedClaim) -> str:
    return "signature" if one.claim.is_signature else "attestation"


def _unique(found: Sequence[EvaluatedClaim]) -> list[EvaluatedClaim]:
    """Return one finding for each key, type and name: the same thing is usually said in two forms."""
    seen = {(one.claim.predicate_type, one.claim.names, _by(one)): one for one in reversed(found)}
    return list(reversed(seen.values()))


def _by(one: EvaluatedClaim) -> str:
    if one.trusted_key is None:
        return "nobody known"
    label = f"{one.trusted_key.label} " if one.trusted_key.label else ""
    return f"{label}{one.trusted_key.key.fingerprint} ({one.trusted_key.rule})"


def _when(one: EvaluatedClaim) -> str:
    from pumice.trust.trusted_key import format_day

    return f" on {format_day(one.claim.created)}" if one.claim.created else ""


def as_json(decision: Decision) -> dict[str, Any]:
    """Return the same for a program."""

    def plain(one: EvaluatedClaim) -> dict[str, Any]:
        return {
            "type": one.claim.predicate_type,
            "form": one.claim.form,
            "names": list(one.claim.names),
            "manifest": one.claim.source,
            "key": one.trusted_key.key.fingerprint if one.trusted_key else None,
            "identity": getattr(one.trusted_key.key, "identity", None) if one.trusted_key else None,
            "issuer": getattr(one.trusted_key.key, "issuer", None) if one.trusted_key else None,
            "rule": one.trusted_key.rule if one.trusted_key else None,
            "created": one.claim.created or None,
            "problem": one.problem or None,
        }

    return {
        "digest": decision.digest,
        "name": decision.name,
        "built_here": decision.built_here,
        "threshold": decision.threshold,
        "checks": {
            one.subject: {"result": "passed" if one.passed else "skipped", "detail": one.detail}
            for one in decision.checks
        },
        "signatures": [plain(one) for one in decision.signatures],
        "attestations": [plain(one) for one in decision.attestations],
        "ignored": [plain(one) for one in decision.others],
    }
