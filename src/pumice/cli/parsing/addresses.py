"""Addresses to listen on, as arguments."""

from __future__ import annotations

from pumice.errors import UsageError


def parse_address(text: str) -> tuple[str, int]:
    """Return the host and port of ``HOST:PORT``; an empty host is every address. Raises UsageError."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UsageError(f"{text!r} is not HOST:PORT", hint="write an IPv6 address as [::1]:5000")
    if not (colon and port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 65536):
        raise UsageError(f"{text!r} is not HOST:PORT", hint="for example 127.0.0.1:5000")
    return host or "0.0.0.0", int(port)  # noqa: S104 - the meaning of an empty host


def format_url(host: str, port: int) -> str:
    """Return the URL of a server that listens at an address."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
