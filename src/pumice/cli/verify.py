"""``pumice verify``: who vouches for an image."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pumice.cli import arguments as command_line
from pumice.cli import output, registries, signing
from pumice.errors import TrustError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from pumice.digest import Digest
    from pumice.image.model import Image
    from pumice.trust.keyless import Identity
    from pumice.trust.verify import Finding, TrustedKey, Verdict

_EPILOG = """Without --key the rules of 'pumice trust' decide. Nothing is asked of a network. The exit code
is 7 if the image is not trusted; the message says why. Once an image was accepted, an older one
of the same name is refused."""


def _parser() -> argparse.ArgumentParser:
    made = command_line.parser(
        "verify",
        "Say who signed an image, under which rule that counts, and what is attested of it.",
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
    verdict = _verdict(asked, policy)
    if asked.format == "json":
        import json

        sys.stdout.write(json.dumps(as_json(verdict), indent=2) + "\n")
    else:
        sys.stdout.write("".join(f"{output.printable(line)}\n" for line in as_text(verdict)))
    return 0


def _verdict(asked: argparse.Namespace, policy: Any) -> Verdict:
    from pumice.clock import SystemClock
    from pumice.store.home import Home, locate
    from pumice.trust import gate, keyring, names

    now = SystemClock().now()
    who = _identities(asked)
    with Home(locate(os.environ)) as home, registries.found(asked.reference, home) as found:
        image = _with_signature(found, asked.signature)
        name = asked.name or names.asked(asked.reference, home, image)
        trusted: Sequence[TrustedKey]
        if asked.key or who:
            revoked = keyring.revocations(keyring.levels(os.environ))
            trusted = [_given(text, revoked) for text in asked.key]
            trusted += [_somebody(one, revoked) for one in who]
            if image.known_as and not asked.name:
                name = keyring.signed_as(name, keyring.levels(os.environ))
            verdict = gate.given(image, home, name, trusted, now=now, allow_older=asked.allow_older)
        else:
            levels = keyring.levels(os.environ)
            verdict, decision = gate.judge(image, home, name, levels, now=now, allow_older=asked.allow_older)
            trusted, name = decision.keys, decision.name
        if asked.attestation:
            from pumice.formats import intoto
            from pumice.trust import attested

            uri = intoto.predicate_type(asked.attestation)
            _require(attested.everywhere(image, home, trusted, uri, expected=name, now=now), uri, policy)
        if ignored := gate.remember(image, verdict, home, keep=True, allow_older=asked.allow_older):
            print(f"warning: {output.printable(ignored)}", file=sys.stderr)
    return verdict


def _with_signature(image: Image, signature: Path | None) -> Image:
    if signature is None:
        return image
    if image.archive is None:
        raise UsageError("--signature is for an archive", hint="other images have their signatures with them")
    import msgspec

    return image.inside(msgspec.structs.replace(image.archive, signature=signature))


def _given(text: str, revoked: Mapping[str, str]) -> TrustedKey:
    from pumice.trust import keyfiles, keys, verify

    path = keyfiles.find(text, ".pub", os.environ)
    key = keys.read_public(path)
    return verify.TrustedKey(
        key=key, rule=f"--key {text}", label=path.name, revoked=revoked.get(key.fingerprint, "")
    )


def _identities(asked: argparse.Namespace) -> list[Identity]:
    found = signing.identity(asked)
    if found is None:
        return []
    from pumice.trust import keyless

    keyless.need()
    return [found]


def _somebody(who: Identity, revoked: Mapping[str, str]) -> TrustedKey:
    from pumice.trust import verify

    reason = revoked.get(who.fingerprint, "")
    return verify.TrustedKey(key=who, rule="--identity", label=who.title, revoked=reason)


def _require(about: Mapping[Digest, Sequence[Finding]], uri: str, policy: Any) -> None:
    """Refuse unless each of ``about``, an image or the platforms of one, has one as the policy asks."""
    from pumice.trust.verify import matches

    for digest, found in about.items():
        if not found:
            raise TrustError(f"no trusted key attests {uri} of the image", where=digest)
        problems = [matches(policy, one.claim.predicate) for one in found] if policy is not None else [""]
        if all(problems):
            text = f"the attestation {uri} is not as the policy asks, at {problems[0]}"
            raise TrustError(text, where=digest)


def as_text(verdict: Verdict) -> Iterator[str]:
    """Yield what a person wants to know."""
    yield f"{verdict.name or 'no name'}  {verdict.digest}"
    if verdict.built_here:
        yield "trusted  it was built here"
    for one in _unique(verdict.signatures):
        yield f"signed   by {_by(one)}{_when(one)}"
    if verdict.threshold > 1:
        yield f"needed   {verdict.threshold} different keys"
    for one in _unique(verdict.attestations):
        yield f"attested {one.claim.predicate_type} by {_by(one)}"
    for reason in sorted({f"{_kind(one)} by {one.claim.form}: {one.problem}" for one in verdict.others}):
        yield f"ignored  {reason}"


def _kind(one: Finding) -> str:
    return "signature" if one.claim.is_signature else "attestation"


def _unique(found: Sequence[Finding]) -> list[Finding]:
    """Return one finding for each key, type and name: the same thing is usually said in two forms."""
    seen = {(one.claim.predicate_type, one.claim.names, _by(one)): one for one in reversed(found)}
    return list(reversed(seen.values()))


def _by(one: Finding) -> str:
    if one.by is None:
        return "nobody known"
    label = f"{one.by.label} " if one.by.label else ""
    return f"{label}{one.by.key.fingerprint} ({one.by.rule})"


def _when(one: Finding) -> str:
    from pumice.trust.verify import day

    return f" on {day(one.claim.created)}" if one.claim.created else ""


def as_json(verdict: Verdict) -> dict[str, Any]:
    """Return the same for a program."""

    def plain(one: Finding) -> dict[str, Any]:
        return {
            "type": one.claim.predicate_type,
            "form": one.claim.form,
            "names": list(one.claim.names),
            "manifest": one.claim.source,
            "key": one.by.key.fingerprint if one.by else None,
            "identity": getattr(one.by.key, "identity", None) if one.by else None,
            "issuer": getattr(one.by.key, "issuer", None) if one.by else None,
            "rule": one.by.rule if one.by else None,
            "created": one.claim.created or None,
            "problem": one.problem or None,
        }

    return {
        "digest": verdict.digest,
        "name": verdict.name,
        "built_here": verdict.built_here,
        "threshold": verdict.threshold,
        "signatures": [plain(one) for one in verdict.signatures],
        "attestations": [plain(one) for one in verdict.attestations],
        "ignored": [plain(one) for one in verdict.others],
    }
