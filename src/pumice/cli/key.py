"""``pumice key``: manage signing keys."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import output, results
from pumice.cli.image_access import signing
from pumice.cli.parsing import arguments as command_line
from pumice.errors import TrustError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_EPILOG = """Private keys are encrypted with a passphrase, in cosign's format, and readable by their owner
only. A fingerprint is the SHA-256 of the public key; OpenPGP keys have their own."""


class StoredKey(msgspec.Struct, frozen=True):
    """A key of the key directory; ``can_sign`` if its private key is there, too."""

    name: str
    type: str
    can_sign: bool
    fingerprint: str


def parser() -> command_line.Parser:
    """Return the parser of ``pumice key``."""
    parser = command_line.make_action_parser("key", "Manage the keys that sign images.", epilog=_EPILOG)
    _add_generate(parser)
    list_action = command_line.add_action(
        parser,
        "list",
        _list,
        "list the keys in your key directory",
        examples=("pumice key list", "pumice key list --json"),
    )
    results.add_format_options(list_action, "key list", example="Fingerprint")
    _add_export(parser)
    _add_import(parser)
    return parser


def _add_generate(parser: command_line.Parser) -> None:
    action = command_line.add_action(
        parser,
        "generate",
        _generate,
        "generate a key pair, BASE.key and BASE.pub",
        examples=(
            "pumice key generate",
            "pumice key generate --output release",
            "pumice key generate --openpgp 'Ada <ada@example.com>' --output ada",
        ),
    )
    _add_output_option(action)
    action.add_argument(
        "--type",
        choices=("ecdsa-p256", "ed25519"),
        default="ecdsa-p256",
        metavar="TYPE",
        help="ecdsa-p256 or ed25519 (default: ecdsa-p256)",
    )
    action.add_argument(
        "--openpgp",
        metavar="USER-ID",
        help='generate an OpenPGP key for archives, such as "Ada <ada@example.com>"',
    )
    signing.add_passphrase_option(action)


def _add_export(parser: command_line.Parser) -> None:
    action = command_line.add_action(
        parser,
        "export",
        _export,
        "print the public key, or with --private the encrypted private key",
        examples=("pumice key export default", "pumice key export --private release.key"),
    )
    action.add_argument("key", metavar="KEY", help="a file, a name from 'pumice key list', or gpg:ID")
    action.add_argument("--private", action="store_true", help="print the private key")
    signing.add_passphrase_option(action)


def _add_import(parser: command_line.Parser) -> None:
    action = command_line.add_action(
        parser,
        "import",
        _import,
        "import a key file of cosign, openssl or gpg, and encrypt it",
        examples=("pumice key import cosign.key --output release",),
    )
    action.add_argument("key", metavar="KEY", help="a file, or a name from 'pumice key list'")
    _add_output_option(action)
    signing.add_passphrase_option(action)


def _add_output_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        metavar="BASE",
        type=Path,
        help="write BASE.key and BASE.pub (default: your key 'default')",
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return command_line.run_action(parser(), arguments)


def _output_base(options: argparse.Namespace) -> Path:
    from pumice.trust import key_directory, key_files

    base: Path = options.output or key_directory.keys_directory(os.environ) / key_files.DEFAULT_NAME
    return base


def _generate(options: argparse.Namespace) -> int:
    from pumice.trust import key_files, keys, openpgp

    base = _output_base(options)
    passphrase = signing.passphrase_source(options.passphrase_file, new=True, what=f"{base}.key")
    for path in (Path(f"{base}.key"), Path(f"{base}.pub")):
        if os.path.lexists(path):
            raise UsageError("the file exists", where=str(path), hint="choose another --output")
    if options.openpgp is not None:
        openpgp_key = openpgp.generate_key(options.openpgp)
        fingerprint = openpgp_key.certificate.fingerprint
        private, public = openpgp.write_pair(key_files.create_parent(base), openpgp_key, passphrase())
    else:
        secret = passphrase()
        key = keys.generate_key(options.type)
        fingerprint = key.public_key.fingerprint
        private, public = keys.write_pair(key_files.create_parent(base), key, secret)
    print(fingerprint)
    print(f"Private key written to {output.printable(str(private))}", file=sys.stderr)
    print(f"Public key written to {output.printable(str(public))}", file=sys.stderr)
    return 0


def _list(options: argparse.Namespace) -> int:
    from pumice.trust import key_files

    keys = [
        StoredKey(key.name, key.public_key.kind, key.can_sign, key.public_key.fingerprint)
        for key in key_files.list_keys(os.environ)
    ]
    results.write_result(keys, options.format, lambda: _format_keys(keys))
    return 0


def _format_keys(keys: Sequence[StoredKey]) -> str:
    rows = [(key.name, key.type, "yes" if key.can_sign else "no", key.fingerprint) for key in keys]
    return output.format_table(("name", "type", "can sign", "fingerprint"), rows) if rows else ""


def _export(options: argparse.Namespace) -> int:
    from pumice.trust import archive_keys

    if archive_keys.is_openpgp_key(options.key, os.environ):
        passphrase = signing.passphrase_source(options.passphrase_file, new=True, what="the exported key")
        exported = archive_keys.export_key(options.key, os.environ, passphrase if options.private else None)
    else:
        exported = _private_pem(options) if options.private else _public_pem(options)
    sys.stdout.write(exported.decode())
    return 0


def _public_pem(options: argparse.Namespace) -> bytes:
    """Return the public key: from its own file if there is one, so that no passphrase is needed."""
    from pumice.trust import key_files, keys, public_keys

    public = Path(options.key).with_suffix(".pub") if options.key.endswith(".key") else None
    if public is not None and public.is_file():
        return public_keys.read_public_key(public).pem()
    try:
        path = key_files.find_key_file(options.key, ".pub", os.environ)
    except TrustError:
        path = key_files.find_key_file(options.key, ".key", os.environ)
    if b"PRIVATE KEY-----" not in path.read_bytes()[:65536]:
        return public_keys.read_public_key(path).pem()
    passphrase = signing.passphrase_source(options.passphrase_file, what=str(path))
    return keys.read_private_key(path, passphrase).public_key.pem()


def _private_pem(options: argparse.Namespace) -> bytes:
    from pumice.trust import key_files, keys

    path = key_files.find_key_file(options.key, ".key", os.environ)
    passphrase = signing.passphrase_source(options.passphrase_file, what=str(path))()
    return keys.encrypt_private_key(keys.read_private_key(path, lambda: passphrase), passphrase)


def _import(options: argparse.Namespace) -> int:
    from pumice.trust import key_files

    path = key_files.find_key_file(options.key, ".key", os.environ)
    old_passphrase = signing.passphrase_source(options.passphrase_file, what=str(path))
    new_passphrase = signing.passphrase_source(options.passphrase_file, new=True, what="the copy")
    base = key_files.create_parent(_output_base(options))
    print(key_files.import_key(path, base, old_passphrase, new_passphrase).fingerprint)
    return 0
