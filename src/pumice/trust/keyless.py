"""Signatures without a key of one's own: by a certificate that says who somebody was for ten minutes.

Somebody proves to an issuer (OpenID Connect) who they are, a certificate authority (Fulcio) certifies a
key that is thrown away at once, and a public log (Rekor) says when it was used. Who may be believed as
authority and log stands in a trusted root: a file, or the one that comes with the library ``sigstore``,
which is the extra ``keyless`` and does the checking. Nothing here asks a network; so of a trusted root
from a file or from the library nobody learns that it was renewed since.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pumice import canonical, digest
from pumice.errors import FormatError, PumiceError, TrustError, UsageError
from pumice.trust.keys import PublicKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sigstore.verify import Verifier

    from pumice.trust.claims import Claim
    from pumice.trust.trusted_key import TrustedKey

KIND = "identity"
MISSING = "signatures by certificates cannot be checked, because the Python package sigstore is not installed"
HINT = "install it: pip install 'pumice[keyless]'"
_MAX_ROOT = 1 << 20
_MAX_LENGTH = 1000
_PUBLIC = "https%3A%2F%2Ftuf-repo-cdn.sigstore.dev"


class Identity(PublicKey, frozen=True, kw_only=True):
    """Somebody (an e-mail address or a URI) as an issuer knows them, in the place of a key.

    ``root`` is the JSON of the trusted root by which they are believed; "" is the library's.
    """

    identity: str
    issuer: str
    root: bytes = b""

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits that stand for all of it."""
        return digest.hex_of(canonical.digest_of([KIND, self.identity, self.issuer, self.root_digest]))

    @property
    def root_digest(self) -> str:
        """The digest of the trusted root, in hexadecimal; "" for the library's."""
        return digest.hex_of(digest.of(self.root)) if self.root else ""

    @property
    def title(self) -> str:
        """What to call them."""
        return f"{self.identity} of {self.issuer}"

    def pem(self) -> bytes:
        """Return the lines that stand in a rule's file where others have a key."""
        root = f"Trusted-Root: {self.root_digest}\n" if self.root else ""
        return f"Identity: {self.identity}\nIssuer: {self.issuer}\n{root}".encode()


class CertificateIdentity(msgspec.Struct, frozen=True):
    """Whom a certificate that holds was issued to, and by which issuer's word."""

    identities: frozenset[str]
    issuer: str


def parse_identity(identity: str, issuer: str, root: Path | None = None) -> Identity:
    """Return an identity as a person wrote it; raises UsageError, FormatError, TrustError."""
    if not _is_word(identity) or ("@" not in identity and ":" not in identity):
        raise UsageError(
            f"{identity[:80]!r} is no identity", hint="it is an e-mail address, or the URI of a workflow"
        )
    if not _is_word(issuer) or not issuer.startswith(("https://", "http://")):
        raise UsageError(f"{issuer[:80]!r} is no issuer", hint="write a URL, as https://accounts.example.com")
    return Identity(
        b"", KIND, identity=identity, issuer=issuer, root=read_trusted_root(root) if root else b""
    )


def read_trusted_root(path: Path) -> bytes:
    """Return a file with a trusted root; raises TrustError, FormatError."""
    from pumice.formats import strictjson

    try:
        with path.open("rb") as file:
            data = file.read(_MAX_ROOT + 1)
    except OSError as error:
        raise TrustError(
            f"it cannot be read ({(error.strerror or str(error)).lower()})", where=str(path)
        ) from None
    try:
        kind = strictjson.read_object(data, "trusted root", limit=_MAX_ROOT).get("mediaType")
    except FormatError as error:
        raise FormatError(error.message, where=str(path)) from None
    if not isinstance(kind, str) or not kind.startswith("application/vnd.dev.sigstore.trustedroot"):
        raise FormatError("the file is no trusted root of sigstore's", where=str(path))
    return data


def is_sigstore_installed() -> bool:
    """Say whether the extra is there."""
    import importlib.util

    return importlib.util.find_spec("sigstore") is not None


def require_sigstore() -> None:
    """Raise TrustError, with what to do, unless the extra is there."""
    if not is_sigstore_installed():
        raise TrustError(MISSING, hint=HINT)


def find_signers(claim: Claim, trusted: Sequence[TrustedKey]) -> tuple[list[TrustedKey], str]:
    """Return whose claim this is of those that are trusted, and if it is nobody's, why.

    Each trusted root that a rule names is asked once, however many identities are believed by it.
    """
    identities = [one for one in trusted if isinstance(one.key, Identity)]
    if not identities:
        return [], "it is signed without a key, by a certificate, and no identity is trusted for this name"
    if not claim.bundle:
        return [], "it is signed by a certificate in cosign's older form, which is not verified here"
    signing_identities: list[TrustedKey] = []
    reasons: dict[str, None] = {}
    for root in {one.key.root: None for one in identities if isinstance(one.key, Identity)}:
        try:
            certified = verify_bundle(claim.bundle, claim.signed, root)
        except PumiceError as error:
            reasons[error.message] = None
            continue
        matching = [one for one in identities if _matches_identity(one, certified, root)]
        signing_identities += matching
        if not matching:
            certified_names = " and ".join(sorted(certified.identities))[:200]
            reasons[
                f"its certificate is for {certified_names} of {certified.issuer[:200]}, who is not trusted"
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
    """Return who signed the bytes ``signed``, as a bundle proves; raises TrustError if it does not.

    Checked are the certificate's chain at the time that the log vouches for, that it was shown to a
    certificate log, the log's proof, checkpoint and promise, that the entry is this one, and the
    signature (sigstore, client-spec.md).
    """
    require_sigstore()
    from sigstore.models import Bundle

    from pumice.formats import dsse

    policy = _CapturingPolicy()
    try:
        kind, payload = _make_verifier(root).verify_dsse(Bundle.from_json(bundle), policy)
    except PumiceError:
        raise
    except Exception as error:  # noqa: BLE001 - the library's are many, and those of what it uses more
        raise TrustError(f"its certificate proves nothing: {_summarize_error(error)}") from None
    if dsse.encode_pae(kind, payload) != signed or policy.certificate_identity is None:
        raise TrustError("its certificate proves nothing: what is signed is something else")
    return policy.certificate_identity


class _CapturingPolicy:
    """A policy of the library's that accepts whomever it is shown, and remembers who that was."""

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
            raise VerificationError("it does not say for whom it is, or by whose word")
        self.certificate_identity = CertificateIdentity(frozenset(subjects), issuer)


def _read_issuer(cert: Any) -> str:
    """Return the OpenID Connect issuer; the newer extension counts where both are (fulcio, oid-info.md)."""
    from cryptography.x509 import ObjectIdentifier

    values = {one.oid: one.value for one in cert.extensions}
    newer = values.get(ObjectIdentifier("1.3.6.1.4.1.57264.1.8"))
    if newer is not None:
        from cryptography.hazmat import asn1

        return asn1.decode_der(str, newer.value)
    older = values.get(ObjectIdentifier("1.3.6.1.4.1.57264.1.1"))
    return older.value.decode() if older is not None else ""


def _make_verifier(root: bytes) -> Verifier:
    """Return the library's verifier; raises TrustError for a trusted root that is of no use."""
    import logging
    import tempfile

    from sigstore.models import TrustedRoot
    from sigstore.verify import Verifier

    logging.getLogger("sigstore").addHandler(logging.NullHandler())  # else Python prints what it says
    try:
        if not root:
            return Verifier(trusted_root=TrustedRoot.from_file(str(_bundled_trusted_root())))
        with tempfile.NamedTemporaryFile(suffix=".json") as file:  # the library reads nothing else
            file.write(root)
            file.flush()
            return Verifier(trusted_root=TrustedRoot.from_file(file.name))
    except PumiceError:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        raise TrustError(f"the trusted root is of no use: {_summarize_error(error)}") from None


def _bundled_trusted_root() -> Path:
    """Return the trusted root of the public instance that the library brings along."""
    import sigstore

    path = Path(sigstore.__file__).parent / "_store" / _PUBLIC / "trusted_root.json"
    if not path.is_file():
        raise TrustError(
            "this version of sigstore brings no trusted root along", hint="give --trusted-root FILE"
        )
    return path


def _summarize_error(error: Exception) -> str:
    """Return what a library said, as much of it as a person reads."""
    text = (str(error) or type(error).__name__).strip().split("\n")[0]
    return "".join(c if c.isprintable() else "?" for c in text)[:200].rstrip(" .:")


def _is_word(text: str) -> bool:
    return 0 < len(text) <= _MAX_LENGTH and text.isprintable() and " " not in text
