"""The network that a user asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.errors import UsageError

if TYPE_CHECKING:
    from pumice.runtime.network.port_options import ExposedPort, PortRequest

AUTO, HOST, NONE, PRIVATE = "auto", "host", "none", "private"
DEFAULT_NETWORK = "default"
"""The name of the network that ``private`` stands for."""
_MODES = {
    AUTO: AUTO,
    HOST: HOST,
    NONE: NONE,
    PRIVATE: PRIVATE,
    # as podman spells them
    "bridge": PRIVATE,
    "pasta": PRIVATE,
    "slirp4netns": PRIVATE,
}
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_MAX_NAME = 64


class NetworkRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A network by mode and name, with the address of the pod in it and its published ports.

    ``mode`` is auto, host, none or private; ``name`` is that of a private network. ``names`` are those by
    which other pods of a named network find this one.
    """

    mode: str = AUTO
    name: str = DEFAULT_NETWORK
    address: str = ""
    publish: tuple[PortRequest, ...] = ()
    exposed: tuple[ExposedPort, ...] = ()
    publish_all: bool = False
    names: tuple[str, ...] = ()

    @property
    def is_named(self) -> bool:
        """Return whether pods on the network find one another by name."""
        return self.name != DEFAULT_NETWORK


def parse_network(text: str) -> NetworkRequest:
    """Return the request of ``--network``: a mode, or ``NAME[:ip=ADDRESS]``; raises UsageError."""
    name, _, rest = text.partition(":")
    address = _parse_address(rest, text) if rest else ""
    if name in _MODES:
        mode = _MODES[name]
        if address and mode != PRIVATE:
            raise UsageError(f"the network {name!r} has no addresses to choose from", hint="omit ip=")
        return NetworkRequest(mode=mode, address=address)
    if not is_network_name(name):
        raise UsageError(
            f"{text[:100]!r} is not a network",
            hint="use auto, host, none, private or the NAME of a network, such as backend:ip=10.9.0.5",
        )
    return NetworkRequest(mode=PRIVATE, name=name, address=address)


def is_network_name(name: str) -> bool:
    """Return whether a network may have this name."""
    return (
        0 < len(name) <= _MAX_NAME
        and _NAME_CHARACTERS.issuperset(name)
        and name[0].isalnum()
        and ".." not in name
    )


def _parse_address(option: str, text: str) -> str:
    import ipaddress

    key, _, value = option.partition("=")
    try:
        if key.lower() == "ip":
            return str(ipaddress.ip_address(value))
    except ValueError:
        pass
    hint = "write NAME:ip=ADDRESS"
    if text.startswith(("container:", "pod:")):
        hint = "programs that share a network are apps of one pod: pumice run A --- B"
    raise UsageError(f"{option[:60]!r} in {text[:100]!r} is not an address", hint=hint)


def check_pod_name(name: str) -> str:
    """Return a name by which other pods find one; raises UsageError if it is not a host name."""
    labels = name.split(".")
    if len(name) <= 253 and all(0 < len(label) <= 63 and _is_label(label) for label in labels):
        return name
    raise UsageError(f"{name[:100]!r} is not a host name", hint="use letters, digits and hyphens")


def _is_label(label: str) -> bool:
    return label.isascii() and label.replace("-", "").replace("_", "").isalnum() and label[0] != "-"
