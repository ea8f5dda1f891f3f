"""What the commands that use keys have in common: options, and asking for passphrases."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from pumice.build.signed import Key
    from pumice.trust.sign import Signer


def passphrase_option(made: argparse.ArgumentParser) -> None:
    """Add ``--passphrase-file``."""
    made.add_argument(
        "--passphrase-file",
        metavar="FILE",
        type=Path,
        help="the key's passphrase; else PUMICE_KEY_PASSPHRASE, else the terminal is asked",
    )


def key_options(made: argparse.ArgumentParser) -> None:
    """Add the options of a command that signs."""
    made.add_argument(
        "--key", required=True, metavar="KEY", help="private key: a file, or a name that 'key list' shows"
    )
    made.add_argument("--as", dest="name", default="", metavar="NAME", help="sign as this name:version")
    passphrase_option(made)


def passphrase(file: Path | None, *, new: bool = False, what: str = "") -> Callable[[], bytes]:
    """Return what gives the passphrase when it is needed; a ``new`` one is asked for twice."""
    from pumice.trust import keys

    return keys.passphrase_from(os.environ, file, _asker(new, what) if _can_ask() else None)


def signer(key: str, file: Path | None) -> Signer:
    """Return what signs with the key that the command line names."""
    from pumice.trust import keyfiles

    path = keyfiles.find(key, ".key", os.environ)
    return keyfiles.signer(path, passphrase(file, what=str(path)))


def key(text: str, file: Path | None) -> Key:
    """Return the key that the command line or the configuration names; it is not opened."""
    from pumice.build.signed import Key
    from pumice.trust import keyfiles

    path = keyfiles.find(text, ".key", os.environ)
    return Key(path, lambda: keyfiles.signer(path, passphrase(file, what=str(path))))


def _can_ask() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _asker(new: bool, what: str) -> Callable[[], str]:
    def ask() -> str:
        import getpass

        from pumice.errors import UsageError

        first = getpass.getpass(f"Passphrase for {what or 'the key'}: ", stream=sys.stderr)
        if new and getpass.getpass("The same again: ", stream=sys.stderr) != first:
            raise UsageError("the two passphrases are not the same")
        return first

    return ask
