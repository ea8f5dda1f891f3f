"""``pumice key``: make, list, and move keys."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, signing
from pumice.errors import TrustError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_EPILOG = """Private keys are files as cosign writes them: encrypted by a passphrase, and for you only.
KEY is a file, or a name that 'list' shows; to export also gpg:ID. Fingerprints are the SHA-256 of
the public key, of OpenPGP keys their own."""


def _parser(words: int | str) -> argparse.ArgumentParser:
    made = command_line.make_parser(
        "key",
        "Make and keep the keys that images are signed with.\n\n"
        "  generate     make a pair, BASE.key and BASE.pub\n"
        "  list         show the keys in your folder of keys\n"
        "  export KEY   print the public key; with --private the private one, encrypted\n"
        "  import KEY   copy a key from a file of cosign, openssl or gpg, encrypted anew",
        progress=False,
        epilog=_EPILOG,
    )
    made.add_argument(
        "action", choices=("generate", "list", "export", "import"), metavar="ACTION", help="see above"
    )
    made.add_argument("key", nargs=words, default=[], metavar="KEY", help="for export and import")
    made.add_argument(
        "--output", metavar="BASE", type=Path, help="where a pair goes; by default 'default' in your folder"
    )
    made.add_argument(
        "--type",
        choices=("ecdsa-p256", "ed25519"),
        default="ecdsa-p256",
        metavar="TYPE",
        help="for generate: ecdsa-p256 (the default) or ed25519",
    )
    made.add_argument(
        "--openpgp",
        metavar="USER-ID",
        help='for generate: an OpenPGP key of "Ada <ada@example.com>", for archives',
    )
    made.add_argument("--private", action="store_true", help="for export: the private key")
    signing.passphrase_option(made)
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    needs_key = any(word in ("export", "import") for word in arguments[:1])
    asked = _parser(1 if needs_key else "*").parse_args(arguments)
    if not needs_key and asked.key:
        raise UsageError(f"key {asked.action} takes no KEY", hint=f"write pumice key {asked.action}")
    asked.key = asked.key[0] if asked.key else ""
    return {"generate": _generate, "list": _list, "export": _export, "import": _import}[asked.action](asked)


def _base(asked: argparse.Namespace) -> Path:
    from pumice.trust import key_files

    base: Path = asked.output or key_files.keys_directory(os.environ) / key_files.DEFAULT_NAME
    return base


def _generate(asked: argparse.Namespace) -> int:
    from pumice.trust import key_files, keys, openpgp

    base = _base(asked)
    passphrase = signing.passphrase(asked.passphrase_file, new=True, what=f"{base}.key")
    for path in (Path(f"{base}.key"), Path(f"{base}.pub")):
        if os.path.lexists(path):
            raise UsageError("there is such a file already", where=str(path), hint="choose another --output")
    key: openpgp.SecretKey | keys.PrivateKey
    if asked.openpgp is not None:
        key = openpgp.generate_key(asked.openpgp)
        private, public = openpgp.write_pair(key_files.create_parent(base), key, passphrase())
    else:
        secret = passphrase()
        key = keys.generate_key(asked.type)
        private, public = keys.write_pair(key_files.create_parent(base), key, secret)
    print(key.public.fingerprint)
    print(f"{output.printable(str(private))} signs: keep it to yourself", file=sys.stderr)
    print(f"{output.printable(str(public))} verifies: give it to everybody", file=sys.stderr)
    return 0


def _list(_asked: argparse.Namespace) -> int:
    from pumice.trust import key_files

    rows = [
        (one.name, one.public.kind, "yes" if one.can_sign else "no", one.public.fingerprint)
        for one in key_files.list_keys(os.environ)
    ]
    sys.stdout.write(output.format_table(("name", "type", "can sign", "fingerprint"), rows) if rows else "")
    return 0


def _export(asked: argparse.Namespace) -> int:
    from pumice.trust import archive_keys, key_files, keys, public_keys

    if archive_keys.is_openpgp_key(asked.key, os.environ):
        file = asked.passphrase_file
        passphrase = signing.passphrase(file, new=True, what="the exported key")
        made = archive_keys.export_key(asked.key, os.environ, passphrase if asked.private else None)
        sys.stdout.write(made.decode())
        return 0
    if not asked.private:
        public = Path(asked.key).with_suffix(".pub") if asked.key.endswith(".key") else None
        if public is not None and public.is_file():
            sys.stdout.write(public_keys.read_public_key(public).pem().decode())
            return 0
        try:
            path = key_files.find_key_file(asked.key, ".pub", os.environ)
        except TrustError:
            path = key_files.find_key_file(asked.key, ".key", os.environ)
        data = path.read_bytes()[:65536]
        if b"PRIVATE KEY-----" in data:
            opened = keys.read_private_key(path, signing.passphrase(asked.passphrase_file, what=str(path)))
            sys.stdout.write(opened.public.pem().decode())
        else:
            sys.stdout.write(public_keys.read_public_key(path).pem().decode())
        return 0
    path = key_files.find_key_file(asked.key, ".key", os.environ)
    passphrase = signing.passphrase(asked.passphrase_file, what=str(path))
    secret = passphrase()
    sys.stdout.write(keys.encrypt_private_key(keys.read_private_key(path, lambda: secret), secret).decode())
    return 0


def _import(asked: argparse.Namespace) -> int:
    from pumice.trust import key_files

    path = key_files.find_key_file(asked.key, ".key", os.environ)
    old = signing.passphrase(asked.passphrase_file, what=str(path))
    new = signing.passphrase(asked.passphrase_file, new=True, what="the copy")
    print(key_files.import_key(path, key_files.create_parent(_base(asked)), old, new).fingerprint)
    return 0
