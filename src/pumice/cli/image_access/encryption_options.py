"""The options that encrypt and decrypt layers of images, as skopeo and buildah have them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from pumice.cli.parsing.arguments import OptionGroup
    from pumice.image.transports.locations import OpenedImage


def add_options(parser: OptionGroup) -> None:
    """Add ``--encryption-key``, ``--encrypt-layer`` and ``--decryption-key``."""
    parser.add_argument(
        "--encryption-key",
        action="append",
        default=[],
        metavar="SCHEME:KEY",
        help="encrypt the layers to this public key: jwe:FILE, pgp:FILE or pgp:USER (repeatable)",
    )
    parser.add_argument(
        "--encrypt-layer",
        action="append",
        default=[],
        type=int,
        metavar="N",
        help="encrypt only layer N, from 0, or from -1 backwards (default: all; repeatable)",
    )
    add_decryption_option(parser, "decrypt the layers with this private key")


def add_decryption_option(parser: OptionGroup, text: str) -> None:
    """Add ``--decryption-key``."""
    parser.add_argument(
        "--decryption-key",
        action="append",
        default=[],
        metavar="FILE[:PASSPHRASE]",
        help=f"{text}; its passphrase can be file=PATH, fd=N or pass=TEXT (repeatable)",
    )


def transform(options: argparse.Namespace, opened: OpenedImage) -> OpenedImage:
    """Return the image as the options ask: decrypted, then encrypted. Raises PumiceError."""
    encryption_keys = getattr(options, "encryption_key", [])
    decryption_keys = getattr(options, "decryption_key", [])
    if getattr(options, "encrypt_layer", []) and not encryption_keys:
        raise UsageError("--encrypt-layer needs a key", hint="add --encryption-key jwe:FILE")
    if not encryption_keys and not decryption_keys:
        return opened
    import msgspec

    from pumice.formats import platforms
    from pumice.image import encrypted_images
    from pumice.image.transports.locations import open_local_source
    from pumice.trust import encryption_keys as keys

    recipients = keys.read_recipients(encryption_keys, os.environ)
    decryptor = keys.read_decryptors(decryption_keys)
    image = opened.image
    if options.platform:  # the layers of other platforms need no work
        image = image.select(platforms.parse_platform(options.platform))
    if decryption_keys:
        image = encrypted_images.decrypt_image(image, decryptor)
    if encryption_keys:
        image = encrypted_images.encrypt_image(image, recipients, options.encrypt_layer)
    return msgspec.structs.replace(
        opened,
        image=image,
        source=lambda: open_local_source(image),
        repository=None,
        archive_mark=None,
    )
