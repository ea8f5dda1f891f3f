"""References to images on the command line: which location a text means.

With a transport (``oci:DIR``, ``docker://HOST/NAME``), a reference means that location. A bare name
(``example.com/hello:1.0``) means an image in the store; if it is not there and begins with the host of a
registry, commands that read an image look for it in that registry. Text that can only be a mistake, such as
the name of a file, is explained by `mistakes`. Specified in ``docs/reference/references.md``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Literal, cast

from pumice.errors import UsageError
from pumice.image.transports import locations
from pumice.image.transports.locations import REGISTRY, STORE, TRANSPORTS, Address, Transport

if TYPE_CHECKING:
    from pumice.image.transports.locations import Location
    from pumice.registry.reference import Reference, Repository
    from pumice.store.home import Home

Lookup = Literal["store", "host", "any"]
"""Where a bare name may be found if it is not in the store: nowhere else, in the registry whose host it
begins with, or in any registry, where a name without a host belongs to Docker Hub."""


def find_source(text: str, home: Home, lookup: Lookup = "host") -> Location:
    """Return the location of an image to read; it need not exist there.

    A bare name means the store, then a registry as ``lookup`` says. Raises UsageError.
    """
    transport = transport_of(text)
    if transport is not None:
        return parse_source(text)
    from pumice.image.transports import store

    name, _, digest = text.partition("@")
    if store.holds(text, home):
        return _load(Address(STORE, text))
    if digest and store.holds(digest, home):
        return _load(Address(STORE, digest))
    from pumice.image.transports import mistakes
    from pumice.registry import reference

    mistakes.check_source(text)
    if reference.is_registry_host(name.rstrip("/")):
        raise mistakes.explain_absence(text, home)
    is_short_name = lookup == "any" and not store.is_digest(text)
    if is_short_name or (lookup != "store" and reference.has_registry_host(text)):
        return _load(Address(REGISTRY, text, is_fallback=True))
    return _load(Address(STORE, text))  # which explains, when it is opened, what is missing


def parse_source(text: str) -> Location:
    """Return the location of an image to read; a bare name means the store only. Raises UsageError."""
    transport = transport_of(text)
    if transport is None:
        return _load(Address(STORE, text))
    if not transport.is_readable:
        raise locations.refuse_reading(transport)
    return _load(_parse_address(transport, text))


def parse_destination(text: str) -> Location:
    """Return the location to write an image to; raises UsageError."""
    transport = transport_of(text)
    if transport is None or not transport.is_writable:
        from pumice.image.transports import mistakes

        raise mistakes.explain_destination(text)
    address = _parse_address(transport, text)
    has_tag = text != f"{transport.scheme}{address.path}"
    if transport.has_tag and has_tag and not locations.is_tag(address.tag):
        raise UsageError(
            f"invalid tag {address.tag[:100]!r}",
            where=text[:200],
            hint="tags are letters and digits joined by one of -._: and a path has no colon",
        )
    if address.path == locations.STDOUT and transport.is_directory:
        raise UsageError(
            f"cannot write {text!r} to standard output: it is a directory", hint="use oci-archive:-"
        )
    return _load(address)


def parse_pull_source(text: str) -> Location:
    """Return the location to pull from: a registry for a bare name, but never the store."""
    transport = transport_of(text)
    if transport is STORE:
        raise UsageError(
            f"{text[:200]!r} is in the local store already",
            hint=f"to give it another name, run 'pumice copy {text[:200]} store:NAME:VERSION'",
        )
    if transport not in (None, REGISTRY):
        return parse_source(text)
    from pumice.registry.reference import parse_reference

    if transport is None:
        from pumice.image.transports import mistakes

        mistakes.check_source(text)
    return _load(Address(REGISTRY, str(parse_reference(text))))


def parse_push_target(text: str) -> Location:
    """Return the location in a registry to push to, with or without ``docker://``; raises UsageError."""
    _require_registry(text, "an image is pushed to a registry", f"pumice copy REF {text[:200]}")
    return _load(Address(REGISTRY, text.removeprefix(REGISTRY.scheme)))


def parse_registry_reference(text: str, *, default_tag: str = "latest") -> Reference:
    """Return the reference to an image in a registry, with or without ``docker://``; raises UsageError."""
    from pumice.registry.reference import parse_reference

    _require_registry(text, "expected an image in a registry")
    return parse_reference(text, default_tag=default_tag)


def parse_registry_repository(text: str) -> Repository:
    """Return the repository in a registry, with or without ``docker://``; raises UsageError."""
    from pumice.registry.reference import parse_repository

    _require_registry(text, "expected a repository in a registry")
    return parse_repository(text)


def parse_registry_host(text: str) -> str:
    """Return the host of a registry, with or without ``docker://``; raises UsageError."""
    from pumice.registry import reference

    _require_registry(text, "expected a registry", syntax="HOST or HOST:PORT")
    host = text.removeprefix(REGISTRY.scheme).rstrip("/")
    registry, slash, _ = host.partition("/")
    if slash and reference.has_registry_host(host):
        raise UsageError(
            f"{text[:200]!r} is a repository: expected a registry",
            hint=f"write {registry[:200]}, or list the tags with 'pumice tags {host[:200]}'",
        )
    is_named = "." in host or ":" in host or host == "localhost" or text != host
    if not is_named or not reference.is_host(host):
        raise UsageError(
            f"{text[:200]!r} is not a registry", hint="write HOST or HOST:PORT, such as localhost:5000"
        )
    return reference.normalize_host(host)


def parse_login_target(text: str) -> Repository:
    """Return the registry, or the prefix of its repositories, to log in to; raises UsageError."""
    from pumice.registry import login_store

    _require_registry(text, "expected a registry", syntax="HOST or HOST/PATH")
    return login_store.parse_login_target(text.removeprefix(REGISTRY.scheme).rstrip("/"))


def parse_stored_name(text: str) -> str:
    """Return the name or digest of an image in the store, with or without ``store:``; raises UsageError."""
    transport = transport_of(text)
    if transport in (None, STORE):
        return text.removeprefix(STORE.scheme)
    hint = f"delete it in the registry with 'pumice delete {text[:200]}'"
    if transport is not REGISTRY:
        hint = "run 'pumice images' to list the images in the store; delete files with your system's tools"
    raise UsageError(f"{text[:200]!r} is not in the local store", hint=hint)


def stored_name(text: str) -> str:
    """Return the name that a reference has if it means the store; "" for a digest or other locations."""
    transport = transport_of(text)
    if transport not in (None, STORE) or "@" in text:
        return ""
    return parse_source(text).describe().name


def transport_of(text: str) -> Transport | None:
    """Return the transport that a reference begins with, None for a bare name."""
    return next((transport for transport in TRANSPORTS if text.startswith(transport.scheme)), None)


def _require_registry(
    text: str, expectation: str, command: str = "", syntax: str = "HOST/NAME[:TAG]"
) -> None:
    """Raise UsageError for text with another transport than ``docker://``, and for the name of a file.

    ``command`` is what may have been meant.
    """
    transport = transport_of(text)
    if transport is REGISTRY:
        return
    hint = f"write {syntax}"
    if transport is not None:
        raise UsageError(
            f"{text[:200]!r} is not in a registry: {expectation}",
            hint=f"{hint}, or run '{command}'" if command else hint,
        )
    from pumice.image.transports import mistakes

    mistakes.check_registry_name(text, expectation, hint)


def _parse_address(transport: Transport, text: str) -> Address:
    """Split a location. As in skopeo, a path has no colon."""
    rest = text.removeprefix(transport.scheme)
    if not (transport.is_file or transport.is_directory):
        return Address(transport, rest)
    path, colon, tag = rest.partition(":")
    if not path or "\0" in path:
        noun = "directory" if transport.is_directory else "file"
        raise UsageError(f"location {text[:200]!r} has no {noun}", hint=f"write {transport.syntax}")
    if colon and not transport.has_tag:
        raise UsageError(
            f"location {text[:200]!r} has a tag, but {transport.scheme} has no tags",
            hint=f"write {transport.syntax}",
        )
    return Address(transport, path, tag)


def _load(address: Address) -> Location:
    module, _, name = address.transport.implementation.partition(":")
    implementation = getattr(importlib.import_module(f"{__package__}.{module}"), name)
    return cast("Location", implementation(address))
