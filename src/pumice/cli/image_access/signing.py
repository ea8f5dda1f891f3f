"""Options and helpers of the commands that use keys."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from pumice.assembly.reference_signing import SigningTarget
    from pumice.assembly.signing import SigningKey
    from pumice.cli.parsing.arguments import OptionGroup
    from pumice.image.transports.locations import Location
    from pumice.store.home import Home
    from pumice.trust.archive_signatures import ArchiveSigner
    from pumice.trust.image_signing import Signer, SigningResult
    from pumice.trust.keyless import Identity
    from pumice.trust.keyless_signing import TokenSource
    from pumice.trust.signing_time import SigningTime


def add_passphrase_option(parser: OptionGroup) -> None:
    """Add ``--passphrase-file``."""
    parser.add_argument(
        "--passphrase-file",
        metavar="FILE",
        type=Path,
        help="read the key's passphrase from FILE (default: PUMICE_KEY_PASSPHRASE, or ask on the terminal)",
    )


def add_key_options(parser: argparse.ArgumentParser, *, openpgp: bool = False, required: bool = True) -> None:
    """Add the options of a command that signs; with ``openpgp`` the key may be an OpenPGP key."""
    sources = (
        "a file, a name from 'pumice key list', or gpg:ID"
        if openpgp
        else "a file, or a name from 'pumice key list'"
    )
    parser.add_argument(
        "--key",
        required=required,
        metavar="KEY",
        help=f"private key: {sources}",
    )
    parser.add_argument(
        "--as", dest="name", default="", metavar="NAME", help="sign the image as this name:version"
    )
    add_passphrase_option(parser)


def add_identity_options(parser: OptionGroup, prefix: str) -> None:
    """Add ``--identity``, ``--issuer`` and ``--trusted-root``; ``prefix`` begins the first one's help."""
    parser.add_argument(
        "--identity",
        metavar="WHO",
        help=f"{prefix}the subject of a signing certificate, an e-mail address or a URI",
    )
    parser.add_argument(
        "--issuer", metavar="URL", help="with --identity: the OpenID Connect issuer of the certificate"
    )
    parser.add_argument(
        "--trusted-root",
        type=Path,
        metavar="FILE",
        help="with --identity: sigstore's trusted_root.json (default: the public instance)",
    )


def read_identity(options: argparse.Namespace) -> Identity | None:
    """Return the identity that the options name, None if there is none; raises UsageError."""
    from pumice.errors import UsageError

    if options.identity is None and options.issuer is None and options.trusted_root is None:
        return None
    if options.identity is None:
        raise UsageError("--issuer and --trusted-root need --identity", hint="pass --identity WHO as well")
    if options.issuer is None:
        raise UsageError(
            "--identity needs --issuer URL",
            hint=f"any issuer can certify {options.identity[:80]}, so name the one that you trust",
        )
    from pumice.trust import keyless

    return keyless.parse_identity(options.identity, options.issuer, options.trusted_root)


def describe_result(result: SigningResult) -> str:
    """Return what signing did, for people."""
    state = "signed" if result.is_new else "already signed"
    attested = f", with {', '.join(result.attested)}" if result.attested else ""
    return f"{result.name}: {state} by {result.fingerprint}{attested}"


def passphrase_source(file: Path | None, *, new: bool = False, what: str = "") -> Callable[[], bytes]:
    """Return the function that reads the passphrase of ``what``; a ``new`` one is asked for twice."""
    from pumice.trust import keys

    prompt = _passphrase_prompt(what, repeat=new) if _can_prompt() else None
    return keys.passphrase_source(os.environ, file, prompt)


def load_signer(key: str, file: Path | None) -> Signer:
    """Return the signer for a key of the command line; raises TrustError, UsageError."""
    from pumice.trust import archive_keys, key_files

    archive_keys.reject_openpgp_key(key, os.environ)
    path = key_files.find_private_key(key, os.environ)
    return key_files.load_signer(path, passphrase_source(file, what=str(path)))


def find_signing_key(key: str, file: Path | None) -> SigningKey:
    """Return the key that the command line or the configuration names, without opening it."""
    from pumice.assembly.signing import SigningKey
    from pumice.trust import key_files

    path = key_files.find_private_key(key, os.environ)
    return SigningKey(path, lambda: key_files.load_signer(path, passphrase_source(file, what=str(path))))


def sign_reference(
    reference: str,
    signer: Signer | TokenSource,
    home: Home,
    *,
    name: str = "",
    evidence: bool = True,
    docker_references: Sequence[str] = (),
    timestamp: str | None = None,
    connection: argparse.Namespace | None = None,
) -> SigningResult:
    """Sign the image of a REF with a key, or as the owner of an identity token.

    ``docker_references`` need a key. ``connection`` is as for `registries.client`. Raises PumiceError.
    """
    from pumice.assembly import reference_signing

    return reference_signing.sign_reference(
        signing_target(reference, home, connection),
        signer,
        name=name,
        evidence=evidence,
        time=signing_time(timestamp),
        docker_references=docker_references,
    )


def signing_target(reference: str, home: Home, connection: argparse.Namespace | None) -> SigningTarget:
    """Return the image that a REF names, with the command's options for connections."""
    from pumice.assembly.reference_signing import SigningTarget
    from pumice.cli.image_access import registries

    return SigningTarget(reference, home, lambda: registries.access(home, None, connection))


def signing_time(timestamp: str | None = None) -> SigningTime:
    """Return the time of signatures by ``--timestamp`` or SOURCE_DATE_EPOCH; raises UsageError."""
    from pumice.clock import SystemClock
    from pumice.trust.signing_time import read_signing_time

    return read_signing_time(timestamp, os.environ, SystemClock().now())


def choose_key(
    key: str, file: Path | None, destinations: Sequence[Location]
) -> tuple[SigningKey | None, ArchivesToSign | None]:
    """Return the key that signs a built image, or for an OpenPGP key the archives that it signs."""
    if is_openpgp_key(key):
        return None, plan_archives(key, file, destinations)
    return find_signing_key(key, file), None


def is_openpgp_key(key: str) -> bool:
    """Return whether the command line names an OpenPGP key, which signs archives only."""
    from pumice.trust import archive_keys

    return archive_keys.is_openpgp_key(key, os.environ)


def open_archive_signer(key: str, file: Path | None) -> ArchiveSigner:
    """Return the signer of archives for an OpenPGP key of the command line."""
    from pumice.trust import archive_keys, keys

    has_passphrase = file is not None or keys.PASSPHRASE in os.environ
    passphrase = passphrase_source(file, what=key)
    return archive_keys.open_archive_signer(key, os.environ, passphrase, has_passphrase=has_passphrase)


class ArchivesToSign:
    """Archives that ``build`` writes, and the OpenPGP key that signs them."""

    def __init__(self, signer: ArchiveSigner, paths: Sequence[Path]) -> None:
        self._signer = signer
        self._paths = paths

    def sign(self, signed_at: int | None) -> None:
        """Write ``FILE.asc`` for each archive; ``signed_at`` is in seconds since the epoch, None for now."""
        from pumice.clock import SystemClock
        from pumice.trust import archive_signatures

        for path in self._paths:
            archive_signatures.sign_archive(path, self._signer, now=SystemClock().now(), signed_at=signed_at)


def plan_archives(key: str, file: Path | None, destinations: Sequence[Location]) -> ArchivesToSign:
    """Return the archives that an OpenPGP key signs; raises UsageError for any other destination."""
    from pumice.errors import UsageError
    from pumice.image.transports.locations import STDOUT

    addresses = [destination.address for destination in destinations]
    for address in addresses:
        if address.transport.is_file and address.path != STDOUT:
            continue
        raise UsageError(
            "an OpenPGP key can only sign archives",
            where=str(address),
            hint="write oci-archive:FILE, or use a key from 'pumice key generate'",
        )
    if not addresses:
        raise UsageError("an OpenPGP key can only sign archives", hint="write one with -o oci-archive:FILE")
    return ArchivesToSign(open_archive_signer(key, file), [Path(address.path) for address in addresses])


def _can_prompt() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _passphrase_prompt(what: str, *, repeat: bool) -> Callable[[], str]:
    def prompt() -> str:
        import getpass

        from pumice.errors import UsageError
        from pumice.terminal import printable_line

        passphrase = getpass.getpass(
            f"Passphrase for {printable_line(what) or 'the key'}: ", stream=sys.stderr
        )
        if repeat and getpass.getpass("Repeat the passphrase: ", stream=sys.stderr) != passphrase:
            raise UsageError("the passphrases do not match", hint="try again")
        return passphrase

    return prompt
