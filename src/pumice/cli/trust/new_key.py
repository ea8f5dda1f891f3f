"""Read the key that a new rule trusts, and confirm its fingerprint."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pumice.cli.display import output
from pumice.errors import TrustError

if TYPE_CHECKING:
    import argparse

    from pumice.trust.keys import PublicKey


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of an action that reads a new key."""
    parser.add_argument("--fingerprint", metavar="HEX", help="expected fingerprint of the new key")
    parser.add_argument(
        "--insecure-allow-http", action="store_true", help="fetch a key over http, which is not protected"
    )


def read_confirmed_key(options: argparse.Namespace, text: str, prefix: str) -> tuple[PublicKey, str]:
    """Return the key in a file or at a URL, once its fingerprint is confirmed, and a label for it."""
    key, where, label = _read_key(options, text)
    if options.fingerprint is not None:
        expected = read_fingerprint(options.fingerprint)
        if expected != key.fingerprint:
            raise TrustError(
                f"the key's fingerprint is {key.fingerprint}, not {expected[:64]}",
                where=where,
                hint="ask the key's owner for the fingerprint; do not trust the key until it matches",
            )
        return key, label
    if not confirm_key(key, where, prefix):
        raise TrustError("the key was not added", where=where)
    return key, label


def read_fingerprint(text: str) -> str:
    """Return the fingerprint that a person passes, with or without spaces, as keys have it."""
    return text.lower().removeprefix("sha256:").replace(" ", "")


def confirm_key(key: PublicKey, where: str, prefix: str) -> bool:
    """Show the fingerprint of a key, and return whether the person at the terminal says that it is right."""
    from pumice.trust import openpgp

    require_terminal(where)
    print(f"key          {output.printable(where)} ({key.kind})", file=sys.stderr)
    print(f"fingerprint  {key.fingerprint}", file=sys.stderr)
    if isinstance(key, openpgp.Certificate):
        print(f"user ID      {output.printable(key.user_id)}", file=sys.stderr)
    print(f"for          {output.printable(prefix) or 'all names'}", file=sys.stderr)
    sys.stderr.write("Does the fingerprint match the one from the key's owner? [yes/no] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _read_key(options: argparse.Namespace, text: str) -> tuple[PublicKey, str, str]:
    """Return a public key, its file or URL, and a label for it."""
    from pumice.trust import key_files, key_urls, public_keys

    if not key_urls.is_url(text):
        path = key_files.find_key_file(text, ".pub", os.environ)
        return public_keys.read_public_key(path), str(path), path.stem
    key_urls.check_url(text, plain_http=options.insecure_allow_http)
    redacted_url = key_urls.redact_url(text)
    if options.fingerprint is None:
        require_terminal(redacted_url)  # before anything is fetched
    if key_urls.is_unprotected(text):
        print(
            f"warning: {output.printable(redacted_url)}: the connection is not protected; compare the"
            " fingerprint with the key's owner (--insecure-allow-http)",
            file=sys.stderr,
        )
    from pumice.fetch.session import Session
    from pumice.store.home import Home, locate

    with Session(Home(locate(os.environ))) as session:
        return key_urls.fetch_key(text, session), redacted_url, key_urls.label_from_url(text)


def require_terminal(where: str) -> None:
    """Raise TrustError if there is nobody to confirm a fingerprint."""
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
        raise TrustError(
            "cannot ask you to confirm the fingerprint: there is no terminal",
            where=where,
            hint="pass --fingerprint HEX with the fingerprint from the key's owner",
        )
