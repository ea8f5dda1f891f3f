"""A simulator of a sigstore instance with temporary keys, which needs no network.

It issues what the real services would: a short-lived certificate with an OpenID Connect issuer and a
certificate-transparency timestamp, as Fulcio does; an entry in a log with an inclusion proof, a signed
checkpoint and an inclusion promise, as Rekor 1 does; and bundles of both in the form of cosign 3. That
real verifiers accept them is tested in ``tests/interop/test_keyless.py``.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import struct
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from pumice.formats import dsse, intoto, sigstore

ADA = "ada@example.com"
WORKFLOW = "https://code.example.com/apps/hello/.workflows/release.yaml@refs/tags/v1.0"
ISSUER = "https://accounts.example.com"
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
"""When the certificate is issued; it holds for ten minutes."""

_SCT_LIST = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_ISSUER = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_ISSUER_V2 = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_ROOT = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
_ORIGIN = "log.example.com"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """The certified identity, and the errors to make."""

    identity: str = ADA
    issuer: str = ISSUER
    after: int = 60
    """Seconds from the certificate to the signature."""
    timestamped: bool = True
    """Whether the certificate was shown to the transparency log."""
    promised: bool = True
    """Whether the log's promise is there."""
    logged: bytes | None = None
    """What the log was shown in place of the statement."""


class Instance:
    """A certificate authority and two logs, with fresh keys; certificates are issued at ``start``."""

    def __init__(self, start: datetime.datetime = START) -> None:
        self.start = start
        self.authority, self.log, self.certificates = (
            ec.generate_private_key(ec.SECP256R1()) for _ in range(3)
        )
        self.root = self._root()

    def trusted_root(self) -> bytes:
        """Return the ``trusted_root.json`` of this instance."""
        since = {"start": "2020-01-01T00:00:00Z"}
        authority = {
            "subject": {"organization": "example.com", "commonName": "simulator"},
            "uri": "https://ca.example.com",
            "certChain": {"certificates": [{"rawBytes": _b64(_der(self.root))}]},
            "validFor": since,
        }
        logs = [
            {
                "baseUrl": f"https://{_ORIGIN}",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": _b64(_spki(key)),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": since,
                },
                "logId": {"keyId": _b64(_key_id(key))},
            }
            for key in (self.log, self.certificates)
        ]
        document = {
            "mediaType": _ROOT,
            "tlogs": [logs[0]],
            "certificateAuthorities": [authority],
            "ctlogs": [logs[1]],
            "timestampAuthorities": [],
        }
        return json.dumps(document).encode()

    def bundle(self, statement: bytes, wish: Wish | None = None) -> bytes:
        """Return a bundle of a statement, signed by a key that is certified according to ``wish``."""
        wish = wish or Wish()
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.certificate(key.public_key(), wish)
        signature = key.sign(dsse.encode_pae(dsse.IN_TOTO, statement), ec.ECDSA(hashes.SHA256()))
        envelope = dsse.Envelope(dsse.IN_TOTO, statement, (dsse.Signature(signature),))
        body = log_body(envelope, certificate, statement if wish.logged is None else wish.logged)
        document = {
            "mediaType": sigstore.BUNDLE,
            "verificationMaterial": {
                "certificate": {"rawBytes": _b64(_der(certificate))},
                "tlogEntries": [self.entry(body, wish)],
            },
            "dsseEnvelope": dsse.envelope_to_json(envelope),
        }
        return json.dumps(document).encode()

    def signature(self, digest: str, wish: Wish | None = None, *, kind: str = sigstore.SIGN) -> bytes:
        """Return a bundle that signs an image as cosign 3 does: without a name."""
        statement = intoto.Statement((intoto.Subject("", digest),), kind, b"{}")
        return self.bundle(intoto.encode_statement(statement), wish)

    def _root(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "simulator")])
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.authority.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.start - datetime.timedelta(days=365))
            .not_valid_after(self.start + datetime.timedelta(days=36500))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self.authority.public_key()), critical=False
            )
            .sign(self.authority, hashes.SHA256())
        )

    def certificate(self, key: ec.EllipticCurvePublicKey, wish: Wish) -> x509.Certificate:
        """Issue a precertificate for the log, then the certificate with the log's timestamp."""
        identity: x509.GeneralName = x509.RFC822Name(wish.identity)
        if ":" in wish.identity:
            identity = x509.UniformResourceIdentifier(wish.identity)
        issuer = wish.issuer.encode()
        authority = self.authority.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.root.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.start)
            .not_valid_after(self.start + datetime.timedelta(minutes=10))
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), critical=False)
            .add_extension(x509.SubjectAlternativeName([identity]), critical=True)
            .add_extension(x509.UnrecognizedExtension(_ISSUER, issuer), critical=False)
            .add_extension(x509.UnrecognizedExtension(_ISSUER_V2, _tagged(0x0C, issuer)), critical=False)
        )
        if not wish.timestamped:
            return builder.sign(self.authority, hashes.SHA256())
        for_the_log = _with_timestamp(builder, b"\0").sign(self.authority, hashes.SHA256())
        return _with_timestamp(builder, self._timestamp(for_the_log)).sign(self.authority, hashes.SHA256())

    def _timestamp(self, certificate: x509.Certificate) -> bytes:
        """Return a list of one signed certificate timestamp (RFC 6962, 3.2 and 3.3)."""
        precertificate = certificate.tbs_precertificate_bytes
        moment = struct.pack("!Q", int(self.start.timestamp()) * 1000)
        entry = (
            hashlib.sha256(_spki(self.authority)).digest()
            + struct.pack("!I", len(precertificate))[1:]
            + precertificate
        )
        signed = b"\0\0" + moment + b"\0\1" + entry + b"\0\0"
        signature = self.certificates.sign(signed, ec.ECDSA(hashes.SHA256()))
        timestamp = b"\0" + _key_id(self.certificates) + moment + b"\0\0" + b"\4\3" + _sized(signature)
        return _sized(_sized(timestamp))

    def entry(self, body: bytes, wish: Wish) -> dict[str, Any]:
        """Return the log entry of ``body``, the second of three."""
        moment = int(self.start.timestamp()) + wish.after
        first, third = (_leaf(leaf_data) for leaf_data in (b"before", b"after"))
        root = _node(_node(first, _leaf(body)), third)
        note = f"{_ORIGIN} - 1\n3\n{_b64(root)}\n"
        signature = _key_id(self.log)[:4] + self.log.sign(note.encode(), ec.ECDSA(hashes.SHA256()))
        promised = {
            "body": _b64(body),
            "integratedTime": moment,
            "logID": _key_id(self.log).hex(),
            "logIndex": 1,
        }
        text = json.dumps(promised, sort_keys=True, separators=(",", ":")).encode()
        promise = self.log.sign(text, ec.ECDSA(hashes.SHA256()))
        return {
            "logIndex": "1",
            "logId": {"keyId": _b64(_key_id(self.log))},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(moment),
            **({"inclusionPromise": {"signedEntryTimestamp": _b64(promise)}} if wish.promised else {}),
            "inclusionProof": {
                "logIndex": "1",
                "rootHash": _b64(root),
                "treeSize": "3",
                "hashes": [_b64(first), _b64(third)],
                "checkpoint": {"envelope": f"{note}\n\N{EM DASH} {_ORIGIN} {_b64(signature)}\n"},
            },
            "canonicalizedBody": _b64(body),
        }


def log_body(envelope: dsse.Envelope, certificate: x509.Certificate, statement: bytes) -> bytes:
    """Return the body of Rekor's entry for an envelope."""
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    document = {
        "apiVersion": "0.0.1",
        "kind": "dsse",
        "spec": {
            "envelopeHash": _hash(dsse.encode_envelope(envelope)),
            "payloadHash": _hash(statement),
            "signatures": [
                {"signature": _b64(signature.value), "verifier": _b64(pem)}
                for signature in envelope.signatures
            ],
        },
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _with_timestamp(builder: x509.CertificateBuilder, timestamps: bytes) -> x509.CertificateBuilder:
    return builder.add_extension(
        x509.UnrecognizedExtension(_SCT_LIST, _tagged(0x04, timestamps)), critical=False
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _tagged(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    return (
        bytes((tag, 0x82)) + struct.pack("!H", length) + content
        if length > 0xFF
        else bytes((tag, 0x81, length)) + content
    )


def _sized(data: bytes) -> bytes:
    return struct.pack("!H", len(data)) + data


def _leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\0" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def _hash(data: bytes) -> dict[str, str]:
    return {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}


def _spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _key_id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_spki(key)).digest()


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
