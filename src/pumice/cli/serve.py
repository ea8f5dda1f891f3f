"""``pumice serve``: run an OCI registry."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pumice.cli.parsing import addresses
from pumice.cli.parsing import arguments as command_line
from pumice.cli.publishing import server_access
from pumice.errors import UsageError
from pumice.ownership import resolve_links

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from pumice.registry.server.offer import Offer
    from pumice.registry.server.serve import Settings
    from pumice.registry.server.upstream import Upstream

_EPILOG = """The first line on standard output is the URL, once connections are accepted.
SIGTERM and Ctrl-C stop the server; requests in progress get ten seconds to finish."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    options = parser().parse_args(arguments)
    if options.check or options.collect:
        return _maintain(options)
    settings = _settings(options)
    refuse_offer = _refuse_offer(options)
    with _upstream(options) as upstream, _open_log(options.access_log) as log_file:
        _serve(settings, refuse_offer, upstream, log_file)
    return 0


def _serve(
    settings: Settings,
    refuse_offer: Callable[[Offer], str | None] | None,
    upstream: Upstream | None,
    log_file: BinaryIO | None,
) -> None:
    from pumice.clock import SystemClock
    from pumice.registry.server import serve

    def announce(url: str) -> None:
        print(url, flush=True)
        print(f"serving {settings.location}; press Ctrl-C to stop", file=sys.stderr, flush=True)

    serve.serve(
        settings,
        clock=SystemClock(),
        ready=announce,
        log_file=log_file,
        refuse_offer=refuse_offer,
        upstream=upstream,
    )


def _maintain(options: argparse.Namespace) -> int:
    """Collect garbage, check, or both, without serving; return the exit code."""
    from pumice.cli.publishing import upkeep

    location = str(_root(options))
    if options.collect:
        upkeep.collect(location, options.keep_untagged)
    return upkeep.check(location) if options.check else 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice serve``."""
    parser = command_line.make_parser(
        "serve",
        "Run an OCI registry.",
        progress=False,
        epilog=_EPILOG,
        examples=(
            "pumice serve --root registry",
            "pumice serve --root registry --tls-cert cert.pem --tls-key key.pem",
        ),
    )
    parser.add_argument(
        "--listen",
        type=addresses.parse_address,
        default=("127.0.0.1", 5000),
        metavar="HOST:PORT",
        help="address to listen on (default: 127.0.0.1:5000); port 0 selects a free port",
    )
    parser.add_argument("--root", type=Path, metavar="DIR", help="directory to keep the data in")
    parser.add_argument(
        "--tls-cert", type=Path, metavar="FILE", help="serve HTTPS with this certificate (PEM)"
    )
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="private key of the certificate (PEM)")
    server_access.add_options(parser.add_argument_group("access"))
    _add_proxy_options(parser.add_argument_group("cache of another registry"))
    _add_storage_options(parser.add_argument_group("storage"))
    return parser


def _add_proxy_options(parser: command_line.OptionGroup) -> None:
    parser.add_argument(
        "--proxy", metavar="URL", help="serve and cache the images of another registry: https://HOST[/PREFIX]"
    )
    parser.add_argument(
        "--proxy-fresh",
        type=_parse_seconds,
        default=60.0,
        metavar="SECONDS",
        help="with --proxy: cache tags and lists for SECONDS (default: 60)",
    )
    parser.add_argument(
        "--proxy-ca",
        metavar="FILE",
        default="",
        help="with --proxy: trust only the certificate authorities in FILE (PEM)",
    )


def _add_storage_options(parser: command_line.OptionGroup) -> None:
    parser.add_argument("--sparse", action="store_true", help="accept manifests whose blobs are missing")
    parser.add_argument(
        "--access-log", metavar="FILE", help="append a JSON line per request to FILE (-: standard output)"
    )
    parser.add_argument(
        "--gc",
        type=_parse_hours,
        default=24.0,
        metavar="HOURS",
        help="collect garbage every HOURS hours (default: 24; 0: never)",
    )
    parser.add_argument(
        "--keep-untagged",
        type=_parse_hours,
        default=168.0,
        metavar="HOURS",
        help="keep untagged manifests and unfinished uploads for HOURS hours (default: 168)",
    )
    parser.add_argument(
        "--check", action="store_true", help="verify all data and report what is damaged, without serving"
    )
    parser.add_argument("--collect", action="store_true", help="collect garbage once, without serving")


def _settings(options: argparse.Namespace) -> Settings:
    """Return the settings of the server for the options; raises UsageError."""
    from pumice.registry.server import serve
    from pumice.registry.server.app import Options

    host, port = options.listen
    if (options.tls_cert is None) != (options.tls_key is None):
        raise UsageError("--tls-cert and --tls-key must be given together", hint="pass both, or none")
    tls = (options.tls_cert, options.tls_key) if options.tls_cert else None
    if tls is not None:
        serve.check_tls(*tls)
    is_loopback = serve.is_loopback(host)
    policy = server_access.read_policy(options, is_loopback=is_loopback, tls=tls is not None)
    return serve.Settings(
        location=str(_root(options)),
        host=host,
        port=port,
        policy=policy,
        options=Options(
            read_only_reason=_read_only_reason(options),
            allow_missing_blobs=options.sparse,
            hosts=_hosts(host, options.allowed_host, is_loopback=is_loopback),
            allow_web_pages=not (is_loopback and policy.anonymous == "write"),
        ),
        tls=tls,
        collect_hours=0 if options.read_only else options.gc,
        grace_hours=options.keep_untagged,
        fresh_seconds=options.proxy_fresh,
    )


def _hosts(host: str, allowed: Sequence[str], *, is_loopback: bool) -> tuple[str, ...] | None:
    """Return the hosts that requests may be for; None for any, which loopback never allows."""
    if not is_loopback and not allowed:
        return None
    return (host.lower(), *(name.lower().removesuffix(".") for name in allowed))


def _root(options: argparse.Namespace) -> Path:
    from pumice.store.home import check_owner, locate

    root: Path = options.root or locate(os.environ) / "registry"
    check_owner(root, os.environ)
    return root


def _read_only_reason(options: argparse.Namespace) -> str:
    if options.proxy:
        return "this registry is a proxy; push to the upstream registry instead"
    return "this registry is read-only" if options.read_only else ""


@contextlib.contextmanager
def _upstream(options: argparse.Namespace) -> Iterator[Upstream | None]:
    """Provide the upstream registry, accessed with the logins and settings of the current user."""
    if not options.proxy:
        yield None
        return
    if options.require_signed:
        raise UsageError(
            "--proxy and --require-signed cannot be combined", hint="images cannot be pushed to a proxy"
        )
    from pumice.cli.display.progress_modes import make_progress
    from pumice.registry import registry_config
    from pumice.registry.client import Client, ClientSettings
    from pumice.registry.credentials import AuthFiles
    from pumice.registry.retry import RetryPolicy
    from pumice.registry.server.upstream import Upstream, parse_upstream_url
    from pumice.registry.transport import TlsFiles

    location, is_plain_http = parse_upstream_url(options.proxy)
    settings = ClientSettings(
        plain_http=is_plain_http,
        tls=TlsFiles(options.proxy_ca),
        retry_policy=RetryPolicy(  # short, because a client is waiting
            attempts=2, initial_delay=0.2, max_delay=1.0, max_retry_after=2.0
        ),
        registry_configs=registry_config.load_registry_configs(os.environ),
    )
    with Client(AuthFiles(os.environ), settings, progress=make_progress("none")) as client:
        yield Upstream(client, location)


def _refuse_offer(options: argparse.Namespace) -> Callable[[Offer], str | None] | None:
    """Return the admission check of --require-signed; None if all images are accepted."""
    if options.require_signed is None:
        return None
    from pumice.clock import SystemClock
    from pumice.store.home import Home
    from pumice.trust import registry_admission

    directories = registry_admission.find_policy(options.require_signed, os.environ)
    records = Home(_root(options) / "admission")
    return registry_admission.require_signed(directories, SystemClock(), records)


@contextlib.contextmanager
def _open_log(name: str | None) -> Iterator[BinaryIO | None]:
    """Open the access log to append to it; None without one."""
    if name is None:
        yield None
    elif name == "-":
        yield sys.stdout.buffer
    else:
        try:
            file = Path(resolve_links(name)).open("ab")  # noqa: SIM115 - closed below; only opening is guarded
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UsageError(reason.lower(), where=name) from None
        with file:
            yield file


def _parse_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 10_000_000:
        raise UsageError(f"{text!r} is not a number of seconds", hint="for example 60")
    return seconds


def _parse_hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not 0 <= hours <= 1_000_000:
        raise UsageError(f"{text!r} is not a number of hours", hint="for example 24, or 0.5 for half an hour")
    return hours
