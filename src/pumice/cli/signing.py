"""What the commands that use keys have in common: options, and asking for passphrases."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from pumice.assembly.signing import SigningKey
    from pumice.image.transports.locations import Location
    from pumice.store.home import Home
    from pumice.trust.archive_signatures import ArchiveSigner
    from pumice.trust.image_signing import Signer, SigningResult
    from pumice.trust.keyless import Identity
    from pumice.trust.keys import PublicKey
    from pumice.trust.signing_time import SigningTime


def passphrase_option(made: argparse.ArgumentParser) -> None:
    """Add ``--passphrase-file``."""
    made.add_argument(
        "--passphrase-file",
        metavar="FILE",
        type=Path,
        help="the key's passphrase; else PUMICE_KEY_PASSPHRASE, else the terminal is asked",
    )


def key_options(made: argparse.ArgumentParser, *, openpgp: bool = False) -> None:
    """Add the options of a command that signs; ``openpgp`` is whether gpg's keys will do."""
    gpg = ", or gpg:ID" if openpgp else ""
    made.add_argument(
        "--key",
        required=True,
        metavar="KEY",
        help=f"private key: a file, or a name that 'key list' shows{gpg}",
    )
    made.add_argument("--as", dest="name", default="", metavar="NAME", help="sign as this name:version")
    passphrase_option(made)


def identity_options(made: argparse.ArgumentParser, why: str) -> None:
    """Add ``--identity``, ``--issuer`` and ``--trusted-root``; ``why`` begins their help."""
    made.add_argument(
        "--identity", metavar="WHO", help=f"{why}who a certificate is for: an e-mail address or a URI"
    )
    made.add_argument(
        "--issuer", metavar="URL", help="with --identity: who must have said so (OpenID Connect)"
    )
    made.add_argument(
        "--trusted-root",
        type=Path,
        metavar="FILE",
        help="with --identity: sigstore's trusted_root.json, if not the public one",
    )


def identity(asked: argparse.Namespace) -> Identity | None:
    """Return the identity that was asked for, if one was; raises UsageError for half of one."""
    from pumice.errors import UsageError

    if asked.identity is None and asked.issuer is None and asked.trusted_root is None:
        return None
    if asked.identity is None:
        raise UsageError("--issuer and --trusted-root go with --identity", hint="say --identity WHO as well")
    if asked.issuer is None:
        raise UsageError(
            "--identity needs --issuer URL",
            hint="anybody who is an issuer can say that somebody is " + asked.identity[:80],
        )
    from pumice.trust import keyless

    return keyless.parse_identity(asked.identity, asked.issuer, asked.trusted_root)


def said(done: SigningResult) -> str:
    """Return what signing did, as a sentence."""
    what = "signed" if done.new else "was signed already"
    also = f", with {', '.join(done.attested)}" if done.attested else ""
    return f"{done.name} {what} by {done.fingerprint}{also}"


def passphrase(file: Path | None, *, new: bool = False, what: str = "") -> Callable[[], bytes]:
    """Return what gives the passphrase when it is needed; a ``new`` one is asked for twice."""
    from pumice.trust import keys

    return keys.passphrase_source(os.environ, file, _asker(new, what) if _can_ask() else None)


def signer(key: str, file: Path | None) -> Signer:
    """Return what signs with the key that the command line names."""
    from pumice.trust import archive_keys, key_files

    archive_keys.reject_openpgp_key(key, os.environ)
    path = key_files.find_key_file(key, ".key", os.environ)
    return key_files.load_signer(path, passphrase(file, what=str(path)))


def key(text: str, file: Path | None) -> SigningKey:
    """Return the key that the command line or the configuration names; it is not opened."""
    from pumice.assembly.signing import SigningKey
    from pumice.trust import key_files

    path = key_files.find_key_file(text, ".key", os.environ)
    return SigningKey(path, lambda: key_files.load_signer(path, passphrase(file, what=str(path))))


def sign_where_it_lies(
    reference: str,
    signer: Signer,
    home: Home,
    *,
    name: str = "",
    evidence: bool = True,
    also: Sequence[str] = (),
    timestamp: str | None = None,
    connection: argparse.Namespace | None = None,
) -> SigningResult:
    """Sign the image that a REF names: as itself, as its place if that is a registry, and as ``also``.

    skopeo and podman take an image of a registry only if it is signed as what they ask for, unless they
    are told otherwise. ``connection`` is as for `registries.client`. Raises PumiceError.
    """
    from pumice.cli import registries
    from pumice.trust import image_names, image_signing

    when = time(timestamp)
    others = [image_names.check_docker_reference(one) for one in (*also, *_registry_names(reference))]
    with registries.open_to_sign(reference, home, connection) as opened:
        done = image_signing.sign_image(*opened, signer, name=name, evidence=evidence, time=when)
    for one in others:
        # opened again, because it is added to what was just attached
        with registries.open_to_sign(reference, home, connection) as opened:
            placed = image_signing.sign_docker_reference(*opened, signer, one, time=when)
        done = msgspec.structs.replace(done, new=done.new or placed.new)
    return done


def _registry_names(reference: str) -> list[str]:
    """Return the ``HOST/REPO:TAG`` of an image in a registry; nothing for a digest or other locations."""
    from pumice.cli import registries

    description = registries.describe(reference)
    return [description.name] if description.repository and description.name else []


def time(timestamp: str | None = None) -> SigningTime:
    """Return which time signatures get, by ``--timestamp`` or SOURCE_DATE_EPOCH; raises UsageError."""
    from pumice.clock import SystemClock
    from pumice.trust import policy, signing_time

    now = SystemClock().now()

    def believed(name: str) -> list[PublicKey]:
        rules = policy.read_name_policy(name, policy.policy_directories(os.environ))
        return [one.key for one in rules.keys if not one.revoked]

    return signing_time.SigningTime(
        now=now, required=signing_time.parse_required_time(timestamp, os.environ, now), trusted_keys=believed
    )


def keys(
    text: str, file: Path | None, destinations: Sequence[Location]
) -> tuple[SigningKey | None, FilesToSign | None]:
    """Return what signs an image that is built, or the files that hold it: which, the kind of key says."""
    if is_openpgp(text):
        return None, files_to_sign(text, file, destinations)
    return key(text, file), None


def is_openpgp(key: str) -> bool:
    """Say whether the command line names an OpenPGP key, which signs archives and nothing else."""
    from pumice.trust import archive_keys

    return archive_keys.is_openpgp_key(key, os.environ)


def archive_signer(key: str, file: Path | None) -> ArchiveSigner:
    """Return what signs archives with the OpenPGP key that the command line names."""
    from pumice.trust import archive_keys, keys

    given = file is not None or keys.PASSPHRASE in os.environ
    return archive_keys.open_archive_signer(key, os.environ, passphrase(file, what=key), given=given)


class FilesToSign:
    """Archives that ``build`` writes, and the OpenPGP key that signs them."""

    def __init__(self, signer: ArchiveSigner, paths: Sequence[Path]) -> None:
        self._signer = signer
        self._paths = paths

    def sign(self, moment: int | None) -> None:
        """Write the signature of each file beside it."""
        from pumice.clock import SystemClock
        from pumice.trust import archive_signatures

        for path in self._paths:
            archive_signatures.sign_archive(path, self._signer, now=SystemClock().now(), moment=moment)


def files_to_sign(key: str, file: Path | None, destinations: Sequence[Location]) -> FilesToSign:
    """Return what an OpenPGP key will sign; raises UsageError if it cannot sign every destination."""
    from pumice.errors import UsageError
    from pumice.image.transports.locations import STDOUT

    addresses = [destination.address for destination in destinations]
    for address in addresses:
        if address.transport.is_file and address.path != STDOUT:
            continue
        raise UsageError(
            "an OpenPGP key signs files only",
            where=str(address),
            hint="write oci-archive:FILE, or sign by a key that 'pumice key generate' makes",
        )
    if not destinations:
        raise UsageError("an OpenPGP key signs files only", hint="write one: -o oci-archive:FILE")
    return FilesToSign(archive_signer(key, file), [Path(address.path) for address in addresses])


def _can_ask() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _asker(new: bool, what: str) -> Callable[[], str]:
    def ask() -> str:
        import getpass

        from pumice.errors import UsageError
        from pumice.terminal import printable_line

        first = getpass.getpass(f"Passphrase for {printable_line(what) or 'the key'}: ", stream=sys.stderr)
        if new and getpass.getpass("The same again: ", stream=sys.stderr) != first:
            raise UsageError("the two passphrases are not the same")
        return first

    return ask
