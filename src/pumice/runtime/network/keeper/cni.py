"""Running CNI plugins (CNI specification 0.4.0 and 1.0.0, "Execution Protocol")."""

from __future__ import annotations

import json
import os
import subprocess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

INTERFACE = "eth0"
PLUGIN_DIRECTORIES = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")
_PROGRAM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SECONDS = 60


class PluginError(Exception):
    """A plugin failed; the text says which one and why."""


def find_plugin(name: str, directories: Sequence[str]) -> str | None:
    """Return the path of a plugin, None if it is not installed."""
    for directory in directories:
        path = os.path.join(directory, name)
        if "/" not in name and os.access(path, os.X_OK):
            return path
    return None


def add(
    record: dict[str, Any], netns: str, save: Callable[[], None], inherited: Sequence[int] = ()
) -> dict[str, Any]:
    """Add a container to the network of a record and return the last plugin's result.

    ``record`` has the keys ``id``, ``plugins`` (each complete but for ``prevResult``), ``directories`` and
    ``arguments``. After each plugin, its result is put into the record as ``result``, and ``save`` is called,
    because `delete` needs it. The plugins inherit the descriptors ``inherited``. Raises PluginError.
    """
    result: dict[str, Any] | None = None
    for plugin in record["plugins"]:
        result = _execute("ADD", plugin, result, record, netns, inherited)
        record["result"] = result
        save()
    return result or {}


def delete(record: dict[str, Any], netns: str) -> list[str]:
    """Remove a container from its network; return the failures, after trying every plugin."""
    failures = []
    for plugin in reversed(record.get("plugins", [])):
        try:
            _execute("DEL", plugin, record.get("result"), record, netns, ())
        except PluginError as error:
            failures.append(str(error))
    return failures


def _execute(
    command: str,
    plugin: dict[str, Any],
    previous_result: dict[str, Any] | None,
    record: dict[str, Any],
    netns: str,
    inherited: Sequence[int],
) -> dict[str, Any]:
    name = str(plugin.get("type"))
    path = find_plugin(name, record["directories"])
    if path is None:
        raise PluginError(f"the CNI plugin {name!r} is not installed")
    config = dict(plugin)
    if previous_result:
        config["prevResult"] = previous_result
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": record["id"],
        "CNI_NETNS": netns,
        "CNI_IFNAME": INTERFACE,
        "CNI_PATH": ":".join(record["directories"]),
        "CNI_ARGS": record.get("arguments", ""),
        "PATH": _PROGRAM_PATH,
    }
    try:
        process = subprocess.run(
            [path],
            input=json.dumps(config).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            pass_fds=inherited,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PluginError(f"the CNI plugin {name!r} cannot be run: {error}") from None
    return _read_result(name, process.returncode, process.stdout)


def _read_result(name: str, code: int, output: bytes) -> dict[str, Any]:
    """Return the result that a plugin printed; raises PluginError for an error."""
    try:
        result = json.loads(output) if output.strip() else {}
    except ValueError:
        result = {"msg": output.decode(errors="replace")[:200]}
        code = code or 1
    if not isinstance(result, dict):
        raise PluginError(f"the CNI plugin {name!r} printed no result")
    if code:
        reason = f"{result.get('msg', '')}: {result.get('details', '')}".strip(": ")[:500]
        raise PluginError(f"the CNI plugin {name!r} failed: {reason or f'exit code {code}'}")
    return result
