"""The simulated sigstore instance as services over HTTP: a certificate authority and a log."""

from __future__ import annotations

import base64
import datetime
import http.server
import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pumice.formats import dsse
from tests.support.sigstore_simulator import ADA, ISSUER, Instance, Wish, log_body

if TYPE_CHECKING:
    from collections.abc import Iterator

_SINCE = {"start": "2020-01-01T00:00:00Z"}
_KEY = "a key of at least thirty-two bytes, which nothing verifies"


class Services:
    """The services at ``url``, and the entries that the log got."""

    def __init__(self, url: str, instance: Instance) -> None:
        self.url = url
        self.instance = instance
        self.entries: list[dict[str, Any]] = []
        self.refuses_entries = False

    def trust_config(self) -> bytes:
        """Return sigstore's ClientTrustConfig for this instance."""
        service = {"url": self.url, "majorApiVersion": 1, "validFor": _SINCE, "operator": "simulator"}
        signing_config = {
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": [service],
            "oidcUrls": [],
            "rekorTlogUrls": [service],
            "rekorTlogConfig": {"selector": "ANY"},
            "tsaUrls": [],
            "tsaConfig": {"selector": "ANY"},
        }
        document = {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": json.loads(self.instance.trusted_root()),
            "signingConfig": signing_config,
        }
        return json.dumps(document).encode()

    def certify(self, request: dict[str, Any], token: str) -> dict[str, Any]:
        """Return a certificate chain for a signing request, as Fulcio does."""
        claims = jwt.decode(token, options={"verify_signature": False})
        signing_request = x509.load_pem_x509_csr(base64.b64decode(request["certificateSigningRequest"]))
        key = signing_request.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        certificate = self.instance.certificate(key, Wish(identity=claims["sub"], issuer=claims["iss"]))
        chain = [
            item.public_bytes(serialization.Encoding.PEM).decode()
            for item in (certificate, self.instance.root)
        ]
        return {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}

    def record(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the entry of a DSSE envelope, as Rekor 1 does."""
        content = request["spec"]["proposedContent"]
        envelope = dsse.read_envelope(content["envelope"].encode())
        certificate = x509.load_pem_x509_certificate(base64.b64decode(content["verifiers"][0]))
        entry = self.instance.entry(log_body(envelope, certificate, envelope.payload), Wish(after=1))
        self.entries.append(entry)
        proof = entry["inclusionProof"]
        return {
            "24296fb24b8ad77a": {
                "body": entry["canonicalizedBody"],
                "integratedTime": int(entry["integratedTime"]),
                "logID": _hex(entry["logId"]["keyId"]),
                "logIndex": int(entry["logIndex"]),
                "verification": {
                    "signedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
                    "inclusionProof": {
                        "logIndex": int(proof["logIndex"]),
                        "rootHash": _hex(proof["rootHash"]),
                        "treeSize": int(proof["treeSize"]),
                        "hashes": [_hex(value) for value in proof["hashes"]],
                        "checkpoint": proof["checkpoint"]["envelope"],
                    },
                },
            }
        }


def identity_token(subject: str = ADA, *, issuer: str = ISSUER, valid_for: int = 600) -> str:
    """Return a token as an OpenID Connect issuer gives it, valid from now on."""
    now = int(time.time())
    claims = {"iss": issuer, "sub": subject, "aud": "sigstore", "iat": now - 5, "exp": now + valid_for}
    return jwt.encode(claims, _KEY, algorithm="HS256")


@contextmanager
def serve() -> Iterator[Services]:
    """Serve an instance whose certificates begin now, because the client compares them with the clock."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/api/v2/signingCert":
                document = services.certify(request, self.headers["Authorization"].removeprefix("Bearer "))
            elif services.refuses_entries:
                self.send_error(413)
                return
            else:
                document = services.record(request)
            data = json.dumps(document).encode()
            self.send_response(201)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        services = Services(f"http://127.0.0.1:{server.server_port}", Instance(now))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield services
        finally:
            server.shutdown()
            thread.join()


def _hex(text: str) -> str:
    return base64.b64decode(text).hex()
