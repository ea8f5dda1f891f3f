"""Reads a definition file ``slices/PACKAGE.yaml``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pumice.errors import Problem
from pumice.formats.yaml import Mapping, Scalar, Sequence
from pumice.slices import names
from pumice.slices.model import ARCHITECTURES, Essential, PackageSlices, PathKind, PathRule, Slice
from pumice.slices.values import is_null

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.formats.yaml import Node
    from pumice.slices.values import ValueReader

MAX_PATH = 4096
MAX_PATTERN = 512
_MAX_HINT = 40
_MAX_MODE = 0o7777
_MAX_SCRIPT = 64 << 10
_WILD = re.compile("[*?]")
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_CONTENT_KEYS = ("make", "mode", "copy", "text", "symlink", "mutable")


def read_definition(
    root: Node | None, package: str, file: str, release_format: str, values: ValueReader
) -> PackageSlices:
    """Return the slices of ``package``, which ``file`` defines; the problems are in ``values``."""
    if root is None:
        values.problems.append(Problem("the file has no slice definitions", where=file))
        return PackageSlices(package, file)
    return _DefinitionReader(package, file, release_format, values).read(root)


class _DefinitionReader:
    def __init__(self, package: str, file: str, release_format: str, values: ValueReader) -> None:
        self._package = package
        self._file = file
        self._is_map_format = release_format not in ("v1", "v2")
        self._values = values

    def read(self, root: Node) -> PackageSlices:
        values = self._values
        fields = values.fields(root, "the definition")
        declared_name = values.text(fields.get("package"), "package")
        if declared_name != self._package:
            values.report(
                fields.get("package", root),
                f"'package' is {declared_name[:80]!r}, and the file is for {self._package!r}",
                "a definition has the name of its package",
            )
        package_essential = tuple(self._read_essential(fields))
        slices: dict[str, Slice] = {}
        for name, node in values.items(fields["slices"], "'slices'") if "slices" in fields else ():
            if not names.is_slice_name(name.text):
                message = f"{name.text[:80]!r} is not a slice's name"
                hint = "use at least three of a-z, 0-9 and '-', and start with a letter"
                values.report(name, message, hint)
                continue
            slices[name.text] = self._read_slice(name, node, package_essential)
        if slices:
            self._check_references(package_essential)
        archive = values.text(fields.get("archive"), "archive")
        return PackageSlices(self._package, self._file, archive, slices)

    def _read_slice(self, name: Scalar, node: Node, inherited: tuple[Essential, ...]) -> Slice:
        full_name = f"{self._package}_{name.text}"
        with self._values.naming(full_name):
            return self._read_fields(full_name, name, node, inherited)

    def _read_fields(
        self, full_name: str, name: Scalar, node: Node, inherited: tuple[Essential, ...]
    ) -> Slice:
        values = self._values
        fields = values.fields(node, f"the slice {name.text!r}")
        hint = values.text(fields.get("hint"), "hint")
        if len(hint.encode()) > _MAX_HINT or not hint.isprintable():
            values.report(fields["hint"], "the hint is not valid", "use at most 40 printable characters")
        own = tuple(self._read_essential(fields))
        self._check_references(own)
        contents = tuple(
            rule
            for path, value in (
                values.items(fields["contents"], "'contents'") if "contents" in fields else ()
            )
            if (rule := self._read_path(path, value))
        )
        mutate_node = fields.get("mutate")
        mutate = values.text(mutate_node, "mutate")
        if mutate_node and len(mutate) > _MAX_SCRIPT:
            values.report(mutate_node, "the script is larger than 64 KiB")
        return Slice(
            *(self._package, name.text, hint),
            self._merge_essential(full_name, inherited, own),
            contents,
            mutate,
            _first_text_line(mutate_node),
            name.line,
            name.column,
        )

    def _read_essential(self, fields: dict[str, Node]) -> Iterator[Essential]:
        """Yield the slices that ``essential`` and ``v3-essential`` name."""
        node = fields.get("essential")
        if node:
            yield from self._read_map(node) if self._is_map_format else self._read_list(node)
        later_node = fields.get("v3-essential")
        if later_node and self._is_map_format:
            self._values.report(later_node, "'v3-essential' is obsolete since format v3", "use 'essential'")
        elif later_node:
            yield from self._read_map(later_node)

    def _read_list(self, node: Node) -> Iterator[Essential]:
        if not isinstance(node, Sequence):
            self._values.report(node, "'essential' must be a list", "a mapping needs format v3")
            return
        for item in node.items:
            name = self._values.text(item, "essential")
            yield Essential(name, (), item.line, item.column)

    def _read_map(self, node: Node) -> Iterator[Essential]:
        if not isinstance(node, Mapping):
            self._values.report(node, "'essential' must be a mapping", "write 'PACKAGE_SLICE: {}' for each")
            return
        for key, value in node.items:
            options = self._values.fields(value, f"the options of {key.text[:80]!r}")
            architectures = self._values.texts(options.get("arch"), "arch", is_single_allowed=True)
            yield Essential(key.text, architectures, key.line, key.column)

    def _check_references(self, essential: tuple[Essential, ...]) -> None:
        for item in essential:
            if not names.is_full_name(item.name):
                self._report(item, f"{item.name[:80]!r} is not a slice", "write PACKAGE_SLICE")

    def _merge_essential(
        self, full_name: str, inherited: tuple[Essential, ...], own: tuple[Essential, ...]
    ) -> tuple[Essential, ...]:
        """Return all that a slice requires; those of the package do not apply to the slice they name."""
        merged: dict[str, Essential] = {}
        for item in (*inherited, *own):
            if item.name == full_name:
                if item in own:
                    self._report(item, f"the slice {full_name} requires itself")
            elif item.name in merged:
                self._report(item, f"{full_name} requires {item.name[:80]} twice", "keep one of them")
            else:
                merged[item.name] = item
        return tuple(merged.values())

    def _report(self, item: Essential, message: str, hint: str | None = None) -> None:
        where = f"{self._file}:{item.line}:{item.column}"
        self._values.problems.append(Problem(message, where=where, hint=hint))

    def _read_path(self, path: Scalar, node: Node) -> PathRule | None:
        values = self._values
        if not _is_clean(path.text):
            values.report(
                path,
                f"{path.text[:200]!r} is not a path of a slice",
                "start with '/', without '.', '..' or '//'; end directories with '/'",
            )
            return None
        with values.naming(path.text[:200]):
            return self._read_rule(path, node)

    def _read_rule(self, path: Scalar, node: Node) -> PathRule:
        values = self._values
        options = values.fields(node, f"the options of {path.text[:200]}")
        kind, info = self._read_kind(path, options)
        mode = values.integer(options["mode"], "mode") if "mode" in options else 0
        if mode is not None and not 0 <= mode <= _MAX_MODE:
            values.report(options["mode"], "'mode' is out of range", "use an octal number up to 07777")
        mutable = values.flag(options.get("mutable"), "mutable")
        if mutable and kind != "text" and (kind != "copy" or path.text.endswith("/")):
            values.report(path, "only a file that is copied or has a 'text' can be mutable")
        prefer = values.text(options.get("prefer"), "prefer")
        if prefer == self._package:
            values.report(options["prefer"], "a package cannot prefer itself")
        return PathRule(
            *(path.text, kind, info, mode or 0, mutable),
            self._read_until(options),
            self._read_architectures(options),
            values.text(options.get("generate"), "generate"),
            prefer,
            path.line,
            path.column,
        )

    def _read_kind(self, path: Scalar, options: dict[str, Node]) -> tuple[PathKind, str]:
        values = self._values
        if "generate" in options:
            self._check_generate(path, options)
            return "generate", ""
        if _WILD.search(path.text):
            self._check_pattern(path, options)
            return "glob", ""
        kinds: list[tuple[PathKind, str]] = []
        if values.flag(options.get("make"), "make"):
            kinds.append(("dir", ""))
            if not path.text.endswith("/"):
                values.report(path, "a directory to make must end with '/'", f"write {path.text}/")
        if "text" in options:
            kinds.append(("text", values.text(options["text"], "text")))
        target = values.text(options.get("symlink"), "symlink")
        if target:
            kinds.append(("symlink", target))
        source = values.text(options.get("copy"), "copy")
        if source:
            kinds.append(("copy", "" if source == path.text else source))
        if len(kinds) > 1:
            labels = ", ".join("make" if kind == "dir" else kind for kind, _ in kinds)
            values.report(path, f"the path has several contents: {labels}", "keep one of them")
        return kinds[0] if kinds else ("copy", "")

    def _check_pattern(self, path: Scalar, options: dict[str, Node]) -> None:
        if len(path.text) > MAX_PATTERN:
            self._values.report(path, f"the pattern is longer than {MAX_PATTERN} characters")
        for key in (*_CONTENT_KEYS, "prefer"):
            if key in options and self._is_set(options[key], key):
                self._values.report(options[key], f"a path with wildcards cannot have '{key}'")

    def _check_generate(self, path: Scalar, options: dict[str, Node]) -> None:
        directory = path.text.removesuffix("/**")
        if directory == path.text or _WILD.search(directory):
            self._values.report(
                path, "a path with 'generate' must be a directory with '/**'", "as in /var/lib/chisel/**"
            )
        for key in (*_CONTENT_KEYS, "prefer", "until"):
            if key in options and self._is_set(options[key], key):
                self._values.report(options[key], f"a path with 'generate' cannot have '{key}'")

    def _is_set(self, node: Node, key: str) -> bool:
        """Whether an option differs from its default."""
        if key in ("make", "mutable"):
            return self._values.flag(node, key)
        if key == "mode":
            return self._values.integer(node, key) != 0
        return key == "text" or bool(self._values.text(node, key))

    def _read_until(self, options: dict[str, Node]) -> bool:
        until = self._values.text(options.get("until"), "until")
        if until not in ("", "mutate"):
            self._values.report(
                options["until"], f"'until' cannot be {until[:40]!r}", "write 'until: mutate'"
            )
        return until == "mutate"

    def _read_architectures(self, options: dict[str, Node]) -> tuple[str, ...]:
        architectures = self._values.texts(options.get("arch"), "arch", is_single_allowed=True)
        for name in architectures:
            if name not in ARCHITECTURES:
                hint = f"one of {', '.join(ARCHITECTURES)}"
                self._values.report(options["arch"], f"{name[:40]!r} is not an architecture", hint)
        return architectures


def _is_clean(path: str) -> bool:
    """Whether a path is absolute and has no needless or dangerous parts."""
    body = path.removesuffix("/")
    if not body.startswith("/") or len(path) > MAX_PATH or _CONTROL.search(path):
        return False
    return all(part not in ("", ".", "..") for part in body[1:].split("/"))


def _first_text_line(node: Node | None) -> int:
    """Return the line in which the text of a script starts; that of a block starts below its indicator."""
    if node is None or is_null(node):
        return 0
    return node.line + 1 if isinstance(node, Scalar) and "\n" in node.text else node.line
