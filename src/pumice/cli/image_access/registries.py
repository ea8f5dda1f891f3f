"""What commands share that read and write images: options, and connections to registries."""

from __future__ import annotations

import argparse
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from pumice import files
from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import shared_options
from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from pumice.image.model import Image
    from pumice.image.transports.locations import Access, Location
    from pumice.progress import Progress
    from pumice.registry.client import Client, ClientSettings
    from pumice.registry.credentials import Credentials, Login
    from pumice.store.home import Home


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options for connections to registries, as podman and skopeo have them."""
    group = parser.add_argument_group("connections to registries")
    # The value is a part of the name, because argparse cannot take a value only after "=".
    group.add_argument(
        "--tls-verify=false",
        dest="tls_verify",
        action="store_false",
        default=None,
        help="do not verify the registry's certificate, and connect without TLS if it has none",
    )
    for action, spellings in (
        ("store_true", ("=true", "=True", "=TRUE", "=t", "=1", "")),
        ("store_false", ("=False", "=FALSE", "=f", "=0")),
    ):
        names = [f"--tls-verify{spelling}" for spelling in spellings]
        group.add_argument(*names, dest="tls_verify", action=action, default=None, help=argparse.SUPPRESS)
    group.add_argument(
        "--ca", metavar="FILE", default="", help="trust only these certificate authorities (PEM)"
    )
    group.add_argument(
        "--cert-dir",
        metavar="DIR",
        default="",
        help="trust the authorities DIR/*.crt as well, and present the client certificate DIR/*.cert with "
        "its key DIR/*.key",
    )
    group.add_argument("--authfile", metavar="FILE", help="read the login from FILE (auth.json of podman)")
    group.add_argument(
        "--creds",
        metavar="USER[:PASSWORD]",
        help="log in as USER; other users can see PASSWORD, so leave it out to be prompted for it",
    )
    group.add_argument("--plain-http", action="store_true", help=argparse.SUPPRESS)
    group.add_argument("--cert", metavar="FILE", default="", help=argparse.SUPPRESS)


def graph_options(parser: argparse.ArgumentParser, *, platforms: str = "all") -> None:
    """Add the options that select a part of an image; ``platforms`` are those that are copied by default."""
    parser.add_argument(
        "--only-image",
        action="store_true",
        help="do not copy signatures, SBOMs, attestations and other referrers",
    )
    parser.add_argument(
        "--platform",
        metavar="PLATFORM",
        help=f"copy only this platform, such as linux/arm64 (default: {platforms})",
    )


def peer_options(parser: argparse.ArgumentParser) -> None:
    """Add the option that turns off downloads from peers."""
    parser.add_argument(
        "--no-peers",
        dest="peers",
        action="store_false",
        help="do not download from others who have the image (BitTorrent)",
    )


def store_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that select the images that may enter the store."""
    parser.add_argument(
        "--as", dest="signed_as", default="", metavar="NAME", help="require that the image is signed as NAME"
    )
    shared_options.add_admission_options(parser, "accept the image")


def transfer_options(parser: command_line.Parser) -> None:
    """Add the options of a command that copies images which may enter the store."""
    shared_options.add_quiet_option(parser)
    graph_options(parser)
    store_options(parser)
    options(parser)


def client_settings(options: argparse.Namespace | None) -> ClientSettings:
    """Return the settings of a client: those of `options`, then those of the configuration."""
    from pumice.registry import registry_config
    from pumice.registry.client import ClientSettings
    from pumice.registry.transport import TlsFiles

    registry_configs = registry_config.load_registry_configs(os.environ)
    if options is None:
        return ClientSettings(registry_configs=registry_configs)
    tls = TlsFiles(options.ca, options.cert, directory=options.cert_dir, verify=options.tls_verify)
    return ClientSettings(plain_http=options.plain_http, tls=tls, registry_configs=registry_configs)


@contextmanager
def client(options: argparse.Namespace | None, progress: Progress) -> Iterator[Client]:
    """Give a client with the credentials of this machine; ``options`` has the values of `options`."""
    from pumice.registry.client import Client

    with Client(find_credentials(options), client_settings(options), progress=progress) as opened:
        yield opened


def auth_environment(options: argparse.Namespace | None) -> dict[str, str]:
    """Return the environment that says where logins are: ``--authfile`` replaces all other files."""
    file = getattr(options, "authfile", None)
    return {**os.environ, **({"REGISTRY_AUTH_FILE": file} if file else {})}


def find_credentials(options: argparse.Namespace | None, hosts: frozenset[str] = frozenset()) -> Credentials:
    """Return the login of ``--creds``, else the files with logins; raises UsageError.

    ``hosts`` are those that ``--creds`` is for, by default the registries that the command line names.
    """
    from pumice.registry.credentials import AuthFiles, NamedRegistryLogin

    creds = getattr(options, "creds", None)
    file = getattr(options, "authfile", None)
    if creds is not None and file is not None:
        raise UsageError("--creds and --authfile exclude each other", hint="pass one of them")
    if options is not None and creds is not None:
        return NamedRegistryLogin(_read_login(creds), hosts or _named_hosts(options))
    if file is not None and not files.is_file(file):
        raise UsageError("there is no such file with logins", where=file[:200], hint="check --authfile")
    return AuthFiles(auth_environment(options))


def _read_login(creds: str) -> Login:
    import sys

    from pumice.registry.credentials import Login

    username, colon, password = creds.partition(":")
    if not username:
        raise UsageError("--creds needs a username", hint="pass --creds USER, or --creds USER:PASSWORD")
    if not colon:
        if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError(
                "cannot ask for the password: there is no terminal",
                hint="log in with 'pumice login', or pass --authfile FILE",
            )
        import getpass

        password = getpass.getpass(f"Password of {username}: ", stream=sys.stderr)
    return Login(username, password)


def _named_hosts(options: argparse.Namespace) -> frozenset[str]:
    """Return the registries that the command line names; a login must not be sent to any other."""
    from pumice.registry import reference

    hosts = set()
    for value in vars(options).values():
        for text in value if isinstance(value, list) else [value]:
            is_named = isinstance(text, str) and (
                text.startswith(reference.SCHEME) or reference.has_registry_host(text)
            )
            if is_named:
                hosts.add(reference.parse_reference(text).repository.host)
    return frozenset(hosts or {reference.DOCKER_HUB})


@contextmanager
def access(
    home: Home,
    progress: Progress | None = None,
    options: argparse.Namespace | None = None,
    *,
    stdout: BinaryIO | None = None,
    open_client: Callable[[], AbstractContextManager[Client]] | None = None,
) -> Iterator[Access]:
    """Give what locations are read and written with. No registry is contacted before one is needed.

    ``open_client`` opens the client, by default that of `client`.
    """
    from pumice.image.transports.access import open_access
    from pumice.progress import Silent

    progress = progress or Silent()
    opener = open_client or (lambda: client(options, progress))
    with open_access(home, opener, progress, stdout=stdout) as opened:
        yield opened


class LocatedImage(NamedTuple):
    """An image, and where it is."""

    image: Image
    location: Location


@contextmanager
def open_located(
    reference: str, home: Home, progress: Progress | None = None, options: argparse.Namespace | None = None
) -> Iterator[LocatedImage]:
    """Give the image that a REF names, from any location; ``options`` is as for `client`."""
    from pumice.image.transports import references

    location = references.find_source(reference, home)
    with access(home, progress, options) as opened:
        yield LocatedImage(location.open(opened).image, location)


@contextmanager
def open_image(
    reference: str, home: Home, progress: Progress | None = None, options: argparse.Namespace | None = None
) -> Iterator[Image]:
    """Give the image that a REF names, from any location; ``options`` is as for `client`."""
    with open_located(reference, home, progress, options) as located:
        yield located.image
