"""Modules that links enable: ``a2enmod`` and its kin (apache2 2.4), ``phpenmod`` (php-common 2:93)."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.packing.effects.overlay_tree import OverlayTree
    from pumice.packing.effects.scripts import command_line
    from pumice.packing.tree import Tree

_APACHE_NEEDS = re.compile(r"^# Depends: *([\w.-]+)", re.MULTILINE)
_PHP_PRIORITY = re.compile(r"^;\s*priority\s*=\s*([0-9]+)\s*$", re.MULTILINE)
_PHP_VERSION = re.compile(r"[0-9]+\.[0-9]+")
_PHP = "usr/lib/php"
_PHP_STATE = "/var/lib/php/modules"


def enable_apache(canvas: OverlayTree, names: Iterable[str], kind: str) -> bool:
    """Enable parts of Apache of one kind (``mods``, ``conf``, ``sites``) and what they depend on."""
    done = True
    pending = list(names)
    seen: set[str] = set()
    while pending:
        name = pending.pop(0)
        if name in seen or "/" in name:
            continue
        seen.add(name)
        for suffix in ("load", "conf") if kind == "mods" else ("conf",):
            text = canvas.read(f"/etc/apache2/{kind}-available/{name}.{suffix}")
            if text is not None:
                place = f"/etc/apache2/{kind}-enabled/{name}.{suffix}"
                done = canvas.make_symlink(place, f"../{kind}-available/{name}.{suffix}") and done
                pending += _APACHE_NEEDS.findall(text.decode("utf-8", "replace"))
    return done


def php_versions(tree: Tree) -> list[str]:
    """Return the versions of PHP that are there (``phpquery -V``)."""
    names = (posixpath.basename(path) for path in tree.children(_PHP))
    return sorted((name for name in names if _PHP_VERSION.fullmatch(name)), reverse=True)


def php_interfaces(tree: Tree, version: str) -> list[str]:
    """Return the server interfaces (cli, fpm ...) of a version of PHP (``phpquery -S -v VERSION``)."""
    return [posixpath.basename(path) for path in tree.children(f"{_PHP}/{version}/sapi")]


def enable_php(canvas: OverlayTree, tree: Tree, line: command_line.CommandLine) -> bool:
    """Do ``phpenmod [-m] [-r] [-q] [-v VERSION] [-s SAPI] MODULE...``."""
    versions = [line.values["v"]] if line.values.get("v", "ALL") != "ALL" else php_versions(tree)
    marked_by = "maint" if "m" in line.flags else "admin"
    done = bool(versions and line.operands)
    for module in (operand.partition("/")[0] for operand in line.operands):
        for version in versions:
            chosen = line.values.get("s", "ALL")
            interfaces = php_interfaces(tree, version) if chosen == "ALL" else [chosen]
            for name in interfaces:
                done = _link_php(canvas, version, name, module, marked_by) and done
            if "r" in line.flags:
                done = _mark(canvas, f"{_PHP_STATE}/{version}/registry", module) and done
    return done


def _link_php(canvas: OverlayTree, version: str, interface: str, module: str, marked_by: str) -> bool:
    available = f"/etc/php/{version}/mods-available/{module}.ini"
    folder = f"/etc/php/{version}/{interface}/conf.d"
    text = canvas.read(available)
    if text is None or not canvas.exists(folder):
        return False
    priority = _PHP_PRIORITY.search(text.decode("utf-8", "replace"))
    link = f"{folder}/{priority[1] if priority else 20}-{module}.ini"
    is_linked = canvas.is_symlink(link) or canvas.make_symlink(link, available)
    return is_linked and _mark(canvas, f"{_PHP_STATE}/{version}/{interface}/enabled_by_{marked_by}", module)


def _mark(canvas: OverlayTree, folder: str, name: str) -> bool:
    path = f"{folder}/{name}"
    return canvas.make_directory(folder) and (canvas.exists(path) or canvas.write_file(path, b""))
