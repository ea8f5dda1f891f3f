"""Keyless signing: an identity token is exchanged for a certificate, and a log records each signature.

The counterpart of `keyless`. The library ``sigstore`` (extra ``keyless``) sends the token to the
certificate authority (Fulcio), and each signature to the transparency log (Rekor).
"""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import TrustError, UsageError
from pumice.os_errors import read_user_file
from pumice.trust import keyless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sigstore.models import ClientTrustConfig

_MAX_TOKEN = 1 << 16
_MAX_CONFIG = 1 << 21
_JWT_START = "eyJ"
"""How the JSON object at the start of a token (RFC 7519) looks in base64."""
_SECONDS = 60
"""How long a service may send nothing; the library has no limit."""
_HINT = "get a new token for the audience 'sigstore'; tokens are valid for some minutes only"


class KeylessSigner(msgspec.Struct, frozen=True):
    """Signs for ``identity``, which ``issuer`` authenticated.

    ``sign`` takes an in-toto statement and returns a sigstore bundle (JSON). It raises TrustError.
    """

    identity: str
    issuer: str
    sign: Callable[[bytes], bytes]

    @property
    def title(self) -> str:
        """The identity and issuer, for messages."""
        return f"{self.identity} of {self.issuer}"


class TokenSource(msgspec.Struct, frozen=True):
    """Where the identity token of a signer is: ``token`` is a file, or a function that returns one.

    None is for the CI system of this process. ``trust_config`` is as for `open_keyless_signer`.
    """

    token: Path | Callable[[], str] | None = None
    trust_config: Path | None = None

    def read(self) -> str:
        """Return the token; raises TrustError if there is none, UsageError, and what the function raises."""
        if self.token is None:
            return request_token()
        return self.token() if callable(self.token) else read_token(self.token)

    def check(self) -> None:
        """Raise TrustError or UsageError if there is no token, or nothing that could sign with one.

        A command that works for long before it signs calls this first. Tokens are valid for some minutes,
        so it reads another one when it signs.
        """
        keyless.require_sigstore()
        self.read()

    def open_signer(self) -> AbstractContextManager[KeylessSigner]:
        """Return the signer for the owner of the token, as `open_keyless_signer` does."""
        return open_keyless_signer(self.read(), self.trust_config)


def read_token(path: Path) -> str:
    """Return the identity token in a file; raises TrustError, UsageError."""
    if str(path).startswith(_JWT_START):
        raise UsageError(
            "--identity-token takes the name of a file, not a token", hint="other users can see arguments"
        )
    token = read_user_file(path, "identity token", _MAX_TOKEN, TrustError).strip()
    if not token or not token.isascii() or b"\n" in token:
        raise TrustError("the file does not contain an identity token", where=str(path), hint=_HINT)
    return token.decode()


def request_token() -> str:
    """Return a token from the CI system in which this process runs; raises TrustError if there is none."""
    keyless.require_sigstore()
    from sigstore.oidc import detect_credential

    with _translate_errors("cannot get an identity token from the CI system"):
        token = detect_credential()
    if not token:
        raise TrustError(
            "cannot sign without a key: this is not a CI job with an identity token",
            hint="allow the job to get one (GitHub: 'id-token: write', GitLab: 'id_tokens'), "
            "or pass --identity-token FILE",
        )
    return token


@contextmanager
def open_keyless_signer(token: str, trust_config: Path | None = None) -> Iterator[KeylessSigner]:
    """Yield a signer for the owner of ``token``, with a certificate that was just issued.

    ``trust_config`` is a file with the trusted root and the addresses of the services (sigstore's
    ``ClientTrustConfig``); the default are those of the public instance, which are updated first. Raises
    TrustError.
    """
    keyless.require_sigstore()
    from sigstore.dsse import Statement
    from sigstore.oidc import IdentityToken
    from sigstore.sign import Signer, SigningContext

    keyless.silence_library()
    with _translate_errors("cannot use the identity token", hint=_HINT):
        identity_token = IdentityToken(token)
    config = _load_trust_config(trust_config)
    with _limit_waiting():
        with _translate_errors("cannot get a signing certificate"):
            signer = Signer(identity_token, SigningContext.from_trust_config(config))

        def sign(statement: bytes) -> bytes:
            with _translate_errors("cannot record the signature in the transparency log"):
                return signer.sign_dsse(Statement(statement)).to_json().encode()

        yield KeylessSigner(identity_token.identity, identity_token.federated_issuer, sign)


def _load_trust_config(path: Path | None) -> ClientTrustConfig:
    from sigstore.models import ClientTrustConfig

    if path is None:
        with _limit_waiting(), _translate_errors("cannot update sigstore's trusted root"):
            return ClientTrustConfig.production()
    data = read_user_file(path, "trust configuration", _MAX_CONFIG, TrustError)
    with _translate_errors("the trust configuration is not valid"):
        config = ClientTrustConfig.from_json(data.decode())
        _ = config.trusted_root, config.signing_config  # the library parses them when they are read
        return config


@contextmanager
def _translate_errors(what: str, hint: str | None = None) -> Iterator[None]:
    try:
        yield
    except TrustError:
        raise
    except Exception as error:  # noqa: BLE001 - the library's errors are of many types and meant for developers
        cause = error if str(error) or error.__cause__ is None else error.__cause__
        raise TrustError(f"{what}: {keyless.summarize_error(cause)}", hint=hint) from None


@contextmanager
def _limit_waiting() -> Iterator[None]:
    """Limit how long new connections wait for data."""
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(previous)
