"""Changes of an image's config, written as instructions of a Containerfile (``podman commit --change``)."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import msgspec

from pumice.decoding import decode_json
from pumice.errors import UsageError
from pumice.formats.oci import Empty, RunConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def apply_changes(config: RunConfig, instructions: Sequence[str]) -> RunConfig:
    """Return a config with changes such as ``CMD ["app"]`` or ``ENV A=b``; raises UsageError."""
    for text in instructions:
        config = _apply(config, text)
    return config


def _apply(config: RunConfig, text: str) -> RunConfig:
    match = re.fullmatch(r"\s*([A-Za-z]+)(?:\s+|=)(\S.*)", text, re.DOTALL)
    name, rest = (match[1], match[2].strip()) if match else ("", "")
    change = _CHANGES.get(name.upper())
    if change is None or "\0" in rest:
        raise UsageError(
            f"{text[:100]!r} is not a change of the config",
            hint=f"write one of {', '.join(_CHANGES)} and its value, such as 'USER web'",
        )
    return msgspec.structs.replace(config, **change(config, rest))


def _parse_command(text: str) -> tuple[str, ...]:
    """Return the words of a JSON list, or a command line for the shell."""
    if text.startswith("["):
        try:
            return decode_json(text.encode(), tuple[str, ...])
        except (msgspec.MsgspecError, ValueError):
            raise UsageError(
                f"{text[:100]!r} is not a list", hint='write JSON, such as ["app", "-v"]'
            ) from None
    return "/bin/sh", "-c", text


def _parse_pairs(text: str) -> dict[str, str]:
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    if "=" not in (words or [""])[0]:
        name, _, value = text.partition(" ")
        return {name: value.strip()}
    pairs = dict(word.partition("=")[::2] for word in words)
    if any("=" not in word or word.startswith("=") for word in words):
        raise UsageError(f"{text[:100]!r} is not NAME=VALUE")
    return pairs


def _change_environment(config: RunConfig, text: str) -> dict[str, object]:
    variables = dict(line.partition("=")[::2] for line in config.env) | _parse_pairs(text)
    return {"env": tuple(f"{name}={value}" for name, value in variables.items())}


def _change_ports(config: RunConfig, text: str) -> dict[str, object]:
    ports = [port if "/" in port else f"{port}/tcp" for port in text.split()]
    return {"exposed_ports": {**config.exposed_ports, **dict.fromkeys(ports, Empty())}}


def _change_volumes(config: RunConfig, text: str) -> dict[str, object]:
    paths = _parse_command(text) if text.startswith("[") else tuple(text.split())
    return {"volumes": {**config.volumes, **dict.fromkeys(paths, Empty())}}


_CHANGES: dict[str, Callable[[RunConfig, str], dict[str, object]]] = {
    "CMD": lambda _, text: {"cmd": _parse_command(text)},
    "ENTRYPOINT": lambda _, text: {"entrypoint": _parse_command(text)},
    "ENV": _change_environment,
    "EXPOSE": _change_ports,
    "LABEL": lambda config, text: {"labels": {**config.labels, **_parse_pairs(text)}},
    "STOPSIGNAL": lambda _, text: {"stop_signal": text},
    "USER": lambda _, text: {"user": text},
    "VOLUME": _change_volumes,
    "WORKDIR": lambda _, text: {"working_dir": text},
}
