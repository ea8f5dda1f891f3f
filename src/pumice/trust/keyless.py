"""Keyless signatures: with a certificate for an identity that is valid for ten minutes.

The signer proves an identity to an OpenID Connect issuer, a certificate authority (Fulcio) certifies a
key that is discarded after one signature, and a transparency log (Rekor) records when it was used. The
authority and the log are trusted by a trusted root: a file, or the one in the library ``sigstore`` (extra
``keyless``), which verifies the bundles. Nothing here uses the network, so a trusted root is not updated.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pumice import canonical, digest, installation
from pumice.errors import FormatError, PumiceError, TrustError, UsageError
from pumice.os_errors import read_user_file
from pumice.trust.keys import PublicKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sigstore.verify import Verifier

    from pumice.trust.claims import Claim
    from pumice.trust.trusted_key import TrustedKey

KIND = "identity"
MISSING = "cannot use keyless signatures: the Python package sigstore is not installed"


def installation_hint() -> str:
    """Return how to install what verifies keyless signatures."""
    return f"install it: {installation.command_for_extra('keyless')}"


_MAX_ROOT = 1 << 20
_MAX_LENGTH = 1000
_PUBLIC = "https%3A%2F%2Ftuf-repo-cdn.sigstore.dev"


class Identity(PublicKey, frozen=True, kw_only=True):
    """An e-mail address or a URI that an issuer authenticates; it is trusted like a key.

    ``root`` is the JSON of the trusted root, empty for the library's.
    """

    identity: str
    issuer: str
    root: bytes = b""

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits that identify the identity, issuer and trusted root."""
        return digest.hex_of(canonical.digest_of([KIND, self.identity, self.issuer, self.root_digest]))

    @property
    def root_digest(self) -> str:
        """The SHA-256 of the trusted root in hexadecimal, "" for the library's."""
        return digest.hex_of(digest.of(self.root)) if self.root else ""

    @property
    def title(self) -> str:
        """The identity and issuer, for messages."""
        return f"{self.identity} of {self.issuer}"

    def pem(self) -> bytes:
        """Return the lines of a rule file that take the place of a key in PEM."""
        root = f"Trusted-Root: {self.root_digest}\n" if self.root else ""
        return f"Identity: {self.identity}\nIssuer: {self.issuer}\n{root}".encode()


class CertificateIdentity(msgspec.Struct, frozen=True):
    """The subjects and the issuer of a verified certificate."""

    identities: frozenset[str]
    issuer: str


def parse_identity(identity: str, issuer: str, root: Path | None = None) -> Identity:
    """Return an identity of the command line or a rule; raises UsageError, FormatError, TrustError."""
    if not _is_word(identity) or ("@" not in identity and ":" not in identity):
        raise UsageError(
            f"invalid identity {identity[:80]!r}", hint="use an e-mail address or the URI of a workflow"
        )
    if not _is_word(issuer) or not issuer.startswith(("https://", "http://")):
        raise UsageError(
            f"invalid issuer {issuer[:80]!r}", hint="use a URL, such as https://accounts.example.com"
        )
    return Identity(
        b"", KIND, identity=identity, issuer=issuer, root=read_trusted_root(root) if root else b""
    )


def read_trusted_root(path: Path) -> bytes:
    """Return the content of a trusted root file; raises TrustError, FormatError."""
    from pumice.formats import strictjson

    data = read_user_file(path, "trusted root", _MAX_ROOT, TrustError)
    try:
        kind = strictjson.read_object(data, "trusted root", limit=_MAX_ROOT).get("mediaType")
    except FormatError as error:
        raise FormatError(error.message, where=str(path)) from None
    if not isinstance(kind, str) or not kind.startswith("application/vnd.dev.sigstore.trustedroot"):
        raise FormatError("the file is not a sigstore trusted root", where=str(path))
    return data


def is_sigstore_installed() -> bool:
    """Return whether the extra ``keyless`` is installed."""
    import importlib.util

    return importlib.util.find_spec("sigstore") is not None


def require_sigstore() -> None:
    """Raise TrustError unless the extra ``keyless`` is installed."""
    if not is_sigstore_installed():
        raise TrustError(MISSING, hint=installation_hint())


def find_signers(claim: Claim, trusted: Sequence[TrustedKey]) -> tuple[list[TrustedKey], str]:
    """Return the trusted identities that signed a claim, or the reason why there are none.

    The bundle is verified once for each trusted root, however many identities use it.
    """
    identities = [trusted_key for trusted_key in trusted if isinstance(trusted_key.key, Identity)]
    if not identities:
        return [], "signed with a certificate, and no identity is trusted for this name"
    if not claim.bundle:
        return [], "signed with a certificate in cosign's older format, which is not supported"
    signing_identities: list[TrustedKey] = []
    reasons: dict[str, None] = {}
    for root in {item.key.root: None for item in identities if isinstance(item.key, Identity)}:
        try:
            certified = verify_bundle(claim.bundle, claim.signed, root)
        except PumiceError as error:
            reasons[error.message] = None
            continue
        matching = [item for item in identities if _matches_identity(item, certified, root)]
        signing_identities += matching
        if not matching:
            certified_names = " and ".join(sorted(certified.identities))[:200]
            reasons[
                f"signed by {certified_names} of {certified.issuer[:200]}, who is not trusted for this name"
            ] = None
    return signing_identities, "" if signing_identities else "; ".join(reasons)


def _matches_identity(
    trusted_key: TrustedKey, certificate_identity: CertificateIdentity, root: bytes
) -> bool:
    key = trusted_key.key
    return (
        isinstance(key, Identity)
        and key.root == root
        and key.issuer == certificate_identity.issuer
        and key.identity in certificate_identity.identities
    )


def verify_bundle(bundle: bytes, signed: bytes, root: bytes = b"") -> CertificateIdentity:
    """Return the identity that signed the bytes ``signed`` by a bundle; raises TrustError.

    Verifies the certificate's chain at the logged time, its signed certificate timestamp, the log's
    inclusion proof, checkpoint and promise, the log entry, and the signature (sigstore, client-spec.md).
    """
    require_sigstore()
    from sigstore.models import Bundle

    from pumice.formats import dsse

    policy = _CapturingPolicy()
    try:
        kind, payload = _make_verifier(root).verify_dsse(Bundle.from_json(bundle), policy)
    except PumiceError:
        raise
    except Exception as error:
        raise TrustError(f"the certificate is not valid: {summarize_error(error)}") from error
    if dsse.encode_pae(kind, payload) != signed or policy.certificate_identity is None:
        raise TrustError("the bundle signs other content")
    return policy.certificate_identity


class _CapturingPolicy:
    """A verification policy for the library that accepts every identity and stores it."""

    certificate_identity: CertificateIdentity | None = None

    def verify(self, cert: Any) -> None:
        from cryptography import x509
        from sigstore.errors import VerificationError

        alternative_names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        subjects = {
            *alternative_names.get_values_for_type(x509.RFC822Name),
            *alternative_names.get_values_for_type(x509.UniformResourceIdentifier),
        }
        issuer = _read_issuer(cert)
        if not subjects or not issuer:
            raise VerificationError("the certificate has no subject or no issuer")
        self.certificate_identity = CertificateIdentity(frozenset(subjects), issuer)


def _read_issuer(cert: Any) -> str:
    """Return the OpenID Connect issuer, preferring the newer extension (fulcio, oid-info.md)."""
    from cryptography.x509 import ObjectIdentifier

    values = {extension.oid: extension.value for extension in cert.extensions}
    newer = values.get(ObjectIdentifier("1.3.6.1.4.1.57264.1.8"))
    if newer is not None:
        from cryptography.hazmat import asn1

        return asn1.decode_der(str, newer.value)
    older = values.get(ObjectIdentifier("1.3.6.1.4.1.57264.1.1"))
    return older.value.decode() if older is not None else ""


def _make_verifier(root: bytes) -> Verifier:
    """Return the library's verifier; raises TrustError for an unusable trusted root."""
    import tempfile

    from sigstore.models import TrustedRoot
    from sigstore.verify import Verifier

    silence_library()
    try:
        if not root:
            return Verifier(trusted_root=TrustedRoot.from_file(str(_bundled_trusted_root())))
        with tempfile.NamedTemporaryFile(suffix=".json") as file:  # the library only reads files
            file.write(root)
            file.flush()
            return Verifier(trusted_root=TrustedRoot.from_file(file.name))
    except PumiceError:
        raise
    except Exception as error:
        raise TrustError(f"cannot use the trusted root: {summarize_error(error)}") from error


def silence_library() -> None:
    """Discard the log messages of the library, which Python would print otherwise."""
    import logging

    logging.getLogger("sigstore").addHandler(logging.NullHandler())


def _bundled_trusted_root() -> Path:
    """Return the path of the library's trusted root of the public instance."""
    import sigstore

    path = Path(sigstore.__file__).parent / "_store" / _PUBLIC / "trusted_root.json"
    if not path.is_file():
        raise TrustError("this version of sigstore has no trusted root", hint="pass --trusted-root FILE")
    return path


def summarize_error(error: BaseException) -> str:
    """Return the first line of a library's error, printable and short."""
    text = (str(error) or type(error).__name__).strip().split("\n")[0]
    return "".join(c if c.isprintable() else "?" for c in text)[:200].rstrip(" .:")


def _is_word(text: str) -> bool:
    return 0 < len(text) <= _MAX_LENGTH and text.isprintable() and " " not in text
