"""Commands that enable modules with links.

``a2enmod`` (apache2 2.4), ``phpenmod`` (php-common 2:93) and ``lighty-enable-mod`` (lighttpd 1.4.69).
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.packing.effects.overlay_tree import OverlayTree
    from pumice.packing.effects.scripts.command_line import CommandLine
    from pumice.packing.tree import Tree

_APACHE_NEEDS = re.compile(r"^# Depends: *([\w.-]+)", re.MULTILINE)
_PHP_PRIORITY = re.compile(r"^;\s*priority\s*=\s*([0-9]+)\s*$", re.MULTILINE)
_PHP_VERSION = re.compile(r"[0-9]+\.[0-9]+")
_LIGHTTPD = "etc/lighttpd"
_LIGHTTPD_FILE = re.compile(r"[0-9]+-([\w.-]+)\.conf")
_LIGHTTPD_NEEDS = re.compile(r"^# -\*- depends: ([-\w, ]+?) -\*-", re.MULTILINE)
_PHP = "usr/lib/php"
_PHP_STATE = "/var/lib/php/modules"


def enable_apache_modules(overlay: OverlayTree, names: Iterable[str], kind: str) -> bool:
    """Enable names of a ``kind`` (``mods``, ``conf`` or ``sites``) and their dependencies in Apache."""
    is_done = True
    pending = list(names)
    seen_names: set[str] = set()
    while pending:
        name = pending.pop(0)
        if name in seen_names or "/" in name:
            continue
        seen_names.add(name)
        for suffix in ("load", "conf") if kind == "mods" else ("conf",):
            text = overlay.read(f"/etc/apache2/{kind}-available/{name}.{suffix}")
            if text is not None:
                link_path = f"/etc/apache2/{kind}-enabled/{name}.{suffix}"
                is_done = overlay.make_symlink(link_path, f"../{kind}-available/{name}.{suffix}") and is_done
                pending += _APACHE_NEEDS.findall(text.decode("utf-8", "replace"))
    return is_done


def enable_lighttpd_modules(overlay: OverlayTree, tree: Tree, names: Iterable[str]) -> bool:
    """Enable modules and their dependencies in lighttpd; unknown modules are ignored."""
    file_names = [posixpath.basename(path) for path in tree.children(f"{_LIGHTTPD}/conf-available")]
    file_by_module = {match[1]: match[0] for match in map(_LIGHTTPD_FILE.fullmatch, file_names) if match}
    pending = list(dict.fromkeys(names))
    is_done = bool(pending)
    for name in pending:
        file_name = file_by_module.get(name)
        if file_name is None:
            continue
        link_path, target = f"/{_LIGHTTPD}/conf-enabled/{file_name}", f"../conf-available/{file_name}"
        is_done = overlay.make_symlink(link_path, target) and is_done
        text = overlay.read(f"/{_LIGHTTPD}/conf-available/{file_name}") or b""
        for dependencies in _LIGHTTPD_NEEDS.findall(text.decode("utf-8", "replace")):
            pending += (needed for needed in re.split(r",\s*", dependencies) if needed not in pending)
    return is_done


def php_versions(tree: Tree) -> list[str]:
    """Return the versions of PHP in the image, newest first (``phpquery -V``)."""
    names = (posixpath.basename(path) for path in tree.children(_PHP))
    return sorted((name for name in names if _PHP_VERSION.fullmatch(name)), reverse=True)


def php_interfaces(tree: Tree, version: str) -> list[str]:
    """Return the server interfaces (cli, fpm ...) of a version of PHP (``phpquery -S -v VERSION``)."""
    return [posixpath.basename(path) for path in tree.children(f"{_PHP}/{version}/sapi")]


def enable_php_modules(overlay: OverlayTree, tree: Tree, command_line: CommandLine) -> bool:
    """Carry out ``phpenmod [-m] [-r] [-q] [-v VERSION] [-s SAPI] MODULE...``."""
    versions = (
        [command_line.values["v"]] if command_line.values.get("v", "ALL") != "ALL" else php_versions(tree)
    )
    marked_by = "maint" if "m" in command_line.flags else "admin"
    is_done = bool(versions and command_line.operands)
    for module in (operand.partition("/")[0] for operand in command_line.operands):
        for version in versions:
            requested_interface = command_line.values.get("s", "ALL")
            interfaces = (
                php_interfaces(tree, version) if requested_interface == "ALL" else [requested_interface]
            )
            for name in interfaces:
                is_done = _link_php_module(overlay, version, name, module, marked_by) and is_done
            if "r" in command_line.flags:
                is_done = _create_state_file(overlay, f"{_PHP_STATE}/{version}/registry", module) and is_done
    return is_done


def _link_php_module(overlay: OverlayTree, version: str, interface: str, module: str, marked_by: str) -> bool:
    available = f"/etc/php/{version}/mods-available/{module}.ini"
    directory = f"/etc/php/{version}/{interface}/conf.d"
    text = overlay.read(available)
    if text is None or not overlay.exists(directory):
        return False
    priority = _PHP_PRIORITY.search(text.decode("utf-8", "replace"))
    link = f"{directory}/{priority[1] if priority else 20}-{module}.ini"
    is_linked = overlay.is_symlink(link) or overlay.make_symlink(link, available)
    return is_linked and _create_state_file(
        overlay, f"{_PHP_STATE}/{version}/{interface}/enabled_by_{marked_by}", module
    )


def _create_state_file(overlay: OverlayTree, directory: str, name: str) -> bool:
    path = f"{directory}/{name}"
    return overlay.make_directory(directory) and (overlay.exists(path) or overlay.write_file(path, b""))
