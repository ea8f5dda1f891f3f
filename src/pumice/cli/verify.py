"""``pumice verify``: verify the signatures of an image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.cli.display import output, progress_modes, results
from pumice.cli.image_access import decision_views, registries, signing
from pumice.cli.parsing import arguments as command_line
from pumice.errors import TrustError, UsageError
from pumice.terminal import format_count

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.image.model import Image
    from pumice.store.home import Home
    from pumice.trust.decision import Check, Decision
    from pumice.trust.keyless import Identity
    from pumice.trust.trusted_key import TrustedKey

_EPILOG = """Without --key or --identity the policy of 'pumice trust' applies. Only a docker:// REF uses the
network, and only its manifests are checked. The exit code is 7 if the image is not trusted. Once an
image was accepted, an older image of the same name is refused."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice verify``."""
    parser = command_line.make_parser(
        "verify",
        "Verify who signed an image and under which name, that it is not outdated, and that its content\n"
        "is intact.",
        progress=False,
        epilog=_EPILOG,
        examples=(
            "pumice verify example.com/hello:1.0",
            "pumice verify oci:hello --key release.pub",
        ),
    )
    parser.add_argument(
        "reference", metavar="REF", help="name:version, a digest, oci:DIR, oci-archive:FILE or docker://…"
    )
    _add_trust_options(parser.add_argument_group("trust"))
    _add_requirement_options(parser)
    results.add_format_options(parser, "verify", default="text")
    registries.options(parser)
    return parser


def _add_trust_options(keys: argparse._ArgumentGroup) -> None:
    """Add the options that name the signers to trust instead of those of the policy."""
    keys.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="PUB",
        help="trust only this public key and ignore the policy (repeatable)",
    )
    signing.add_identity_options(keys, "trust only this identity: ")


def _add_requirement_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for what is required of the image besides a signature, and what is not."""
    parser.add_argument(
        "--signature",
        type=Path,
        metavar="FILE",
        help="OpenPGP signatures of an archive (default: ARCHIVE.asc)",
    )
    parser.add_argument(
        "--as", dest="name", default="", metavar="NAME", help="require that the image is signed as NAME"
    )
    parser.add_argument(
        "--attestation",
        metavar="TYPE",
        help="also require an attestation of this type, of the image or of each platform",
    )
    parser.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        help="with --attestation: JSON that the attestation must contain",
    )
    parser.add_argument(
        "--allow-older",
        action="store_true",
        help="accept the image even if a newer version was accepted before",
    )
    parser.add_argument(
        "--allow-built-here", action="store_true", help="accept an unsigned image that this store built"
    )
    parser.add_argument(
        "--no-content", dest="content", action="store_false", help="do not hash the configs and layers"
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    if options.policy and not options.attestation:
        raise UsageError("--policy needs --attestation TYPE", hint="pass --attestation TYPE")
    if options.attestation:
        from pumice.formats import intoto

        intoto.parse_predicate_type(options.attestation)  # before the image is read
    expected_predicate = None
    if options.policy:
        from pumice.cli.image_access.predicates import read_predicate

        expected_predicate = read_predicate(options.policy, "policy")
    decision = _admit(options, expected_predicate)
    results.write_result(
        decision_views.describe_decision(decision),
        options.format,
        lambda: map(output.printable, decision_views.format_decision(decision)),
    )
    return 0


def _admit(options: argparse.Namespace, expected_predicate: Any) -> Decision:
    from pumice.clock import SystemClock
    from pumice.store.home import Home, locate
    from pumice.trust import admission

    now = SystemClock().now()
    request = admission.AdmissionRequest(
        reference=options.reference,
        name=options.name,
        keys=_trusted_keys(options),
        allow_older=options.allow_older,
        allow_built_here=options.allow_built_here,
    )
    with (
        Home(locate(os.environ)) as home,
        registries.open_located(options.reference, home, options=options) as located,
    ):
        image = _with_signature_file(located.image, options.signature)

        def inspect(decision: Decision) -> list[Check]:
            if options.attestation:
                _require_attestation(image, home, decision, options.attestation, expected_predicate, now)
            is_remote = located.location.address.transport.is_registry
            return [_check_content(image, is_remote=is_remote, hash_blobs=options.content)]

        return admission.admit(
            *(image, "verify", home, request),
            progress=progress_modes.make_progress("none"),
            environ=os.environ,
            now=now,
            inspect=inspect,
        )


def _trusted_keys(options: argparse.Namespace) -> tuple[TrustedKey, ...] | None:
    """Return the keys and identities of the command line, None if there are none."""
    from pumice.trust.explicit_keys import read_explicit_keys

    identity = _read_identity(options)
    if not options.key and identity is None:
        return None
    return read_explicit_keys(options.key, os.environ, () if identity is None else (identity,))


def _check_content(image: Image, *, is_remote: bool, hash_blobs: bool) -> Check:
    """Check the digests of the image's blobs, as far as they are on this machine."""
    from pumice.image import integrity
    from pumice.trust.decision import Check

    if is_remote:
        count = integrity.check_manifests(image)
        detail = f"{format_count(count, 'manifest')} only; layers are hashed when they are pulled"
        return Check("content", True, detail)
    if not hash_blobs:
        return Check("content", False, "configs and layers were not hashed (--no-content)")
    hashed = integrity.check_blobs(image)
    detail = f"{hashed.blobs} blobs, {output.format_size(hashed.size)}, match their digests"
    if hashed.absent:
        detail += f"; {hashed.absent} non-distributable layers are missing"
    return Check("content", True, detail)


def _with_signature_file(image: Image, signature: Path | None) -> Image:
    if signature is None:
        return image
    if image.archive is None:
        raise UsageError("--signature is for archives only", hint="pass oci-archive:FILE as REF")
    return image.inside(msgspec.structs.replace(image.archive, signature=signature))


def _read_identity(options: argparse.Namespace) -> Identity | None:
    identity = signing.read_identity(options)
    if identity is not None:
        from pumice.trust import keyless

        keyless.require_sigstore()
    return identity


def _require_attestation(
    image: Image, home: Home, decision: Decision, kind: str, expected_predicate: Any, now: int
) -> None:
    """Raise TrustError unless the image, or each of its platforms, has the expected attestation."""
    from pumice.formats import intoto
    from pumice.trust import document_verification
    from pumice.trust.image_verification import find_mismatch

    uri = intoto.parse_predicate_type(kind)
    mismatches = document_verification.check_attestations(
        *(image, home, decision.keys, uri),
        expected=decision.expected,
        now=now,
        check=lambda claim: (
            find_mismatch(expected_predicate, claim.predicate) if expected_predicate is not None else ""
        ),
    )
    for digest, paths in mismatches.items():
        if not paths:
            raise TrustError(f"no attestation {uri} of the image by a trusted key", where=digest)
        if all(paths):
            raise TrustError(f"the attestation {uri} does not match the policy at {paths[0]}", where=digest)
