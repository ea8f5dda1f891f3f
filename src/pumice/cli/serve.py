"""``pumice serve``: be a registry that images are pushed to and pulled from."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pumice.cli import arguments as command_line
from pumice.errors import UsageError
from pumice.ownership import resolve_links

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from pumice.registry.server.access import Level, Policy
    from pumice.registry.server.upstream import Upstream
    from pumice.registry.server.writes import Offer

_EPILOG = """The first line on standard output is the address, once connections are taken.
SIGTERM and Ctrl-C end the server; what is in flight gets ten seconds to end."""


def _parser() -> argparse.ArgumentParser:
    made = command_line.parser(
        "serve", "Be a registry that images are pushed to and pulled from.", progress=False, epilog=_EPILOG
    )
    made.add_argument(
        "--listen",
        type=_address,
        default=("127.0.0.1", 5000),
        metavar="HOST:PORT",
        help="where to listen (127.0.0.1:5000); port 0 is any that is free",
    )
    made.add_argument("--root", type=Path, metavar="DIR", help="where everything is kept")
    made.add_argument(
        "--tls-cert", type=Path, metavar="FILE", help="certificate chain (PEM) to serve HTTPS with"
    )
    made.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key (PEM)")
    _trust_options(made)
    _proxy_options(made)
    _storage_options(made)
    return made


def _trust_options(made: argparse.ArgumentParser) -> None:
    """Add who may do what."""
    made.add_argument(
        "--htpasswd", type=Path, metavar="FILE", help="users and their passwords, from htpasswd -B"
    )
    made.add_argument(
        "--access", type=Path, metavar="FILE", help="rules (YAML) for who may read and write what"
    )
    made.add_argument(
        "--anonymous",
        choices=("read", "write", "none"),
        metavar="LEVEL",
        help="what everybody may without a password: read, write or none",
    )
    made.add_argument(
        "--insecure-passwords",
        action="store_true",
        help="take passwords over plain HTTP from other machines, where everybody on the way can read them",
    )
    made.add_argument(
        "--require-signed",
        metavar="POLICY",
        help="set tags only to images that these rules trust: trust (your own), or a folder of rules",
    )
    made.add_argument("--read-only", action="store_true", help="let nobody write")
    made.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="HOST",
        help="accept requests for this host, such as the name that a proxy forwards (repeatable)",
    )


def _proxy_options(made: argparse.ArgumentParser) -> None:
    """Add whose images are passed on."""
    made.add_argument(
        "--proxy", metavar="URL", help="serve what this registry has, and keep it: https://HOST[/PREFIX]"
    )
    made.add_argument(
        "--proxy-fresh",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="with --proxy: believe tags and lists so long before asking again (60)",
    )
    made.add_argument(
        "--proxy-ca",
        metavar="FILE",
        default="",
        help="with --proxy: trust these authorities (PEM), no others",
    )


def _storage_options(made: argparse.ArgumentParser) -> None:
    """Add what is kept, and what is told."""
    made.add_argument(
        "--sparse", action="store_true", help="take manifests although blobs that they refer to are missing"
    )
    made.add_argument(
        "--access-log", metavar="FILE", help="append a JSON line for each request; - is standard output"
    )
    made.add_argument(
        "--gc",
        type=_hours,
        default=24.0,
        metavar="HOURS",
        help="free what nothing needs so often (24; 0: never)",
    )
    made.add_argument(
        "--keep-untagged",
        type=_hours,
        default=168.0,
        metavar="HOURS",
        help="how long manifests without a tag and unfinished uploads stay (168)",
    )
    made.add_argument(
        "--check",
        action="store_true",
        help="serve nothing: read and hash everything, and say what is wrong",
    )
    made.add_argument("--collect", action="store_true", help="serve nothing: free what nothing needs, once")


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.check or asked.collect:
        from pumice.cli import upkeep

        root = _root(asked)
        if asked.collect:
            upkeep.collect(root, asked.keep_untagged)
        return upkeep.check(root) if asked.check else 0
    from pumice.clock import SystemClock
    from pumice.registry.server import serve
    from pumice.registry.server.app import Options

    host, port = asked.listen
    if (asked.tls_cert is None) != (asked.tls_key is None):
        raise UsageError("--tls-cert and --tls-key go together")
    tls = (asked.tls_cert, asked.tls_key) if asked.tls_cert else None
    if tls is not None:
        serve.check_tls(*tls)
    loopback = serve.is_loopback(host)
    policy = _policy(asked, loopback=loopback, tls=tls is not None)
    root = _root(asked)
    accept = _admission(asked.require_signed, root)
    settings = serve.Settings(
        root=root,
        host=host,
        port=port,
        policy=policy,
        options=Options(
            read_only=_why_read_only(asked),
            sparse=asked.sparse,
            hosts=_hosts(host, asked.allowed_host, loopback=loopback),
            web_pages=not (loopback and policy.anonymous == "write"),
        ),
        tls=tls,
        collect_hours=0 if asked.read_only else asked.gc,
        grace_hours=asked.keep_untagged,
        fresh_seconds=asked.proxy_fresh,
    )
    with _upstream(asked) as upstream, _log_file(asked.access_log) as log_file:
        serve.serve(
            settings,
            clock=SystemClock(),
            ready=lambda url: _ready(url, root),
            log_file=log_file,
            accept=accept,
            upstream=upstream,
        )
    return 0


def _hosts(listens: str, allowed: Sequence[str], *, loopback: bool) -> tuple[str, ...] | None:
    """Return the hosts that requests may be for. Only an address that others reach goes by any name."""
    if not loopback and not allowed:
        return None
    return (listens.lower(), *(host.lower().removesuffix(".") for host in allowed))


def _root(asked: argparse.Namespace) -> Path:
    from pumice.store.home import check_owner, locate

    root: Path = asked.root or locate(os.environ) / "registry"
    check_owner(root, os.environ)
    return root


def _ready(url: str, root: Path) -> None:
    print(url, flush=True)
    print(f"serving {root}; Ctrl-C ends it", file=sys.stderr, flush=True)


def _why_read_only(asked: argparse.Namespace) -> str:
    if asked.proxy:
        return "this registry passes on what another one has, so push to that one"
    return "this registry is read-only" if asked.read_only else ""


@contextlib.contextmanager
def _upstream(asked: argparse.Namespace) -> Iterator[Upstream | None]:
    """Give the registry to pass on, asked with the logins and settings of whoever runs this."""
    if not asked.proxy:
        yield None
        return
    if asked.require_signed:
        raise UsageError(
            "--proxy and --require-signed do not go together", hint="nothing is pushed to a proxy"
        )
    from pumice.cli.output import progress
    from pumice.registry import sites
    from pumice.registry.client import Client, Settings
    from pumice.registry.credentials import AuthFiles
    from pumice.registry.retry import Policy
    from pumice.registry.server.upstream import Upstream, where
    from pumice.registry.transport import Tls

    place, plain = where(asked.proxy)
    settings = Settings(
        plain_http=plain,
        tls=Tls(asked.proxy_ca),
        policy=Policy(attempts=2, first=0.2, longest=1.0, longest_asked=2.0),  # somebody waits for it
        sites=sites.load(os.environ),
    )
    with Client(AuthFiles(os.environ), settings, progress=progress("none")) as client:
        yield Upstream(client, place)


def _admission(policy: str | None, root: Path) -> Callable[[Offer], str | None] | None:
    if policy is None:
        return None
    from pumice.clock import SystemClock
    from pumice.store.home import Home
    from pumice.trust import registry_admission

    directories = registry_admission.find_policy(policy, os.environ)
    return registry_admission.require_signed(directories, SystemClock(), Home(root / "admission"))


def _policy(asked: argparse.Namespace, *, loopback: bool, tls: bool) -> Policy:
    from pumice.registry.server.access import Policy
    from pumice.registry.server.accessfiles import passwords, rules

    users = passwords(_read(asked.htpasswd), str(asked.htpasswd)) if asked.htpasswd else {}
    if users and not (loopback or tls or asked.insecure_passwords):
        raise UsageError(
            "passwords would cross the network in clear",
            hint="give --tls-cert and --tls-key, or accept it with --insecure-passwords",
        )
    anonymous: Level = asked.anonymous or ("write" if loopback and not users else "read")
    if anonymous == "none" and not users:
        raise UsageError(
            "nobody could do anything: --anonymous none, and there are no users", hint="give --htpasswd FILE"
        )
    granted = rules(_read(asked.access), str(asked.access), users) if asked.access else {}
    if anonymous != "write" and not (users or granted or asked.read_only):
        print(
            "nobody can write here: give --htpasswd FILE, or --anonymous write to let everybody",
            file=sys.stderr,
        )
    return Policy(anonymous=anonymous, passwords=users, rules=granted)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read((1 << 20) + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(reason.lower(), where=str(path)) from None
    if len(data) > 1 << 20:
        raise UsageError("the file is larger than 1 MiB", where=str(path))
    return data


@contextlib.contextmanager
def _log_file(name: str | None) -> Iterator[BinaryIO | None]:
    if name is None:
        yield None
    elif name == "-":
        yield sys.stdout.buffer
    else:
        try:
            file = Path(resolve_links(name)).open("ab")  # noqa: SIM115 - closed below; only the opening is guarded
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UsageError(reason.lower(), where=name) from None
        with file:
            yield file


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UsageError(f"{text!r} is no HOST:PORT", hint="write an IPv6 address as [::1]:5000")
    if not (colon and port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 65536):
        raise UsageError(f"{text!r} is no HOST:PORT", hint="such as 127.0.0.1:5000")
    return host or "0.0.0.0", int(port)  # noqa: S104 - it is what an empty host means, and needs --anonymous


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 10_000_000:
        raise UsageError(f"{text!r} is no number of seconds", hint="such as 60")
    return seconds


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not 0 <= hours <= 1_000_000:
        raise UsageError(f"{text!r} is no number of hours", hint="such as 24, or 0.5 for half an hour")
    return hours
