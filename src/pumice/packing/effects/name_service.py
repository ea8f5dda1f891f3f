"""The effect that writes nsswitch.conf(5)."""

from __future__ import annotations

from pumice.packing.effects.model import EffectInput, EffectResult, file_entry

_NSSWITCH = "etc/nsswitch.conf"
_TEMPLATES = ("usr/share/libc-bin/nsswitch.conf", "usr/share/base-files/nsswitch.conf")
_PLAIN_NSSWITCH = b"""\
passwd:         files
group:          files
shadow:         files
gshadow:        files

hosts:          files dns
networks:       files

protocols:      db files
services:       db files
ethers:         db files
rpc:            db files

netgroup:       nis
"""


def configure_name_service(inputs: EffectInput) -> EffectResult:
    """Return nsswitch.conf(5) from the C library's template, or the same text if it has none."""
    tree = inputs.tree
    if _NSSWITCH in tree.nodes or not any(package.name == "libc6" for package in tree.packages):
        return EffectResult()
    template = next((path for path in _TEMPLATES if path in tree.nodes), None)
    content = tree.read(template) if template else _PLAIN_NSSWITCH
    return EffectResult(generated=(file_entry(_NSSWITCH, content, "effect:nsswitch"),))
