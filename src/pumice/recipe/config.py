"""What a person sets once for all recipes: where packages come from, by distribution, and who signs.

``$PUMICE_CONFIG``, else ``$XDG_CONFIG_HOME/pumice/config.yaml``, else ``~/.config/pumice/config.yaml``.
Specified in ``docs/reference/configuration.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import Problem, PumiceError, RecipeError
from pumice.formats import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DISTRIBUTIONS = ("debian",)
_ELSEWHERE = ("registries",)
"""Sections that others read."""
_LISTS = ("mirrors", "security_mirrors", "snapshots", "keyrings")
_SIGN = "sign"
_SAFE = "safe_directories"
_SIGNING = ("key", "passphrase_file", "prefix")


class Settings(msgspec.Struct, frozen=True):
    """What the configuration says of one distribution; empty means: not said. Keyrings are paths."""

    mirrors: tuple[str, ...] = ()
    security_mirrors: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()
    keyrings: tuple[str, ...] = ()


class Signing(msgspec.Struct, frozen=True, kw_only=True):
    """By which key images are signed whose name is ``prefix`` or below it ("": all).

    ``key`` is a path or the name of a key that is kept, ``passphrase_file`` a path, "" for none.
    ``where`` is where that stands.
    """

    key: str
    passphrase_file: str = ""
    prefix: str = ""
    where: str = ""


class Config(msgspec.Struct, frozen=True):
    """The whole configuration."""

    debian: Settings = Settings()
    sign: tuple[Signing, ...] = ()
    safe_directories: tuple[str, ...] = ()
    """Directories of other users that root uses nevertheless; ``*`` is all of them."""

    def signing(self, name: str) -> Signing | None:
        """Return what an image called ``name`` is signed by: the longest prefix counts; None for nothing."""
        fitting = [one for one in self.sign if not one.prefix or f"{name}/".startswith(f"{one.prefix}/")]
        return max(fitting, key=lambda one: len(one.prefix), default=None)


def locate(environ: Mapping[str, str]) -> Path:
    """Return where the configuration is looked for, whether or not there is one."""
    if environ.get("PUMICE_CONFIG"):
        return Path(environ["PUMICE_CONFIG"])
    base = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME") or "/") / ".config")
    return Path(base) / "pumice" / "config.yaml"


def load(environ: Mapping[str, str]) -> Config:
    """Read the configuration; no file is an empty one unless ``PUMICE_CONFIG`` names it.

    Raises RecipeError with every problem in it, PumiceError if it cannot be read.
    """
    found = content(environ)
    return parse(*found) if found is not None else Config()


def content(environ: Mapping[str, str]) -> tuple[bytes, str] | None:
    """Return the configuration file's bytes and path, None if there is none; raises as `load` does."""
    path = locate(environ)
    try:
        return path.read_bytes(), str(path)
    except (FileNotFoundError, NotADirectoryError):
        if environ.get("PUMICE_CONFIG"):
            raise PumiceError(
                "the configuration file is not there", where=str(path), hint="see PUMICE_CONFIG"
            ) from None
        return None
    except OSError as error:
        raise PumiceError(f"the configuration cannot be read: {error.strerror}", where=str(path)) from error


def parse(data: bytes, where: str) -> Config:
    """Return the configuration in ``data``; paths in it are relative to the folder of ``where``."""
    document = yaml.read_document(data, where, quote=False)
    problems = list(document.problems)
    found: dict[str, Settings] = {}
    sign: tuple[Signing, ...] = ()
    safe: tuple[str, ...] = ()
    if document.root is not None:
        for name, node in _items(document.root, (*_DISTRIBUTIONS, _SIGN, _SAFE, *_ELSEWHERE), problems):
            if name == _SIGN:
                sign = tuple(_signings(node, Path(where).parent, problems))
            if name == _SAFE:
                safe = _texts(node, problems)
            if name in (_SIGN, _SAFE, *_ELSEWHERE):
                continue
            lists = {key: _texts(value, problems) for key, value in _items(node, _LISTS, problems)}
            if "keyrings" in lists:
                folder = Path(where).parent
                lists["keyrings"] = tuple(str(folder / Path(text).expanduser()) for text in lists["keyrings"])
            found[name] = Settings(**lists)
    if problems:
        raise RecipeError(problems)
    return Config(**found, sign=sign, safe_directories=safe)


def _signings(node: yaml.Node, folder: Path, problems: list[Problem]) -> Iterator[Signing]:
    """Yield one key's settings, or those of a list of them."""
    seen: dict[str, str] = {}
    for item in node.items if isinstance(node, yaml.Sequence) else (node,):
        before = len(problems)
        told = {key: _word(key, value, problems) for key, value in _items(item, _SIGNING, problems)}
        if len(problems) > before:
            continue
        if not told.get("key"):
            problems.append(
                Problem("there is no key to sign with", where=yaml.format_location(item), hint="say key:")
            )
            continue
        prefix = told.get("prefix", "")
        if prefix in seen:
            text = f"a key for {prefix or 'every name'} stands at {seen[prefix]} already"
            problems.append(Problem(text, where=yaml.format_location(item), hint="give each its own prefix:"))
            continue
        seen[prefix] = yaml.format_location(item)
        secret = told.get("passphrase_file", "")
        yield Signing(
            key=_near(folder, told["key"]),
            passphrase_file=str(folder / Path(secret).expanduser()) if secret else "",
            prefix=prefix,
            where=yaml.format_location(item),
        )


def _near(folder: Path, key: str) -> str:
    """Return the path of a key's file, unless it is the name of one that is kept."""
    path = folder / Path(key).expanduser()
    return str(path) if "/" in key or path.exists() else key


def _word(key: str, node: yaml.Node, problems: list[Problem]) -> str:
    if not isinstance(node, yaml.Scalar) or not node.text:
        problems.append(Problem("a text was expected", where=yaml.format_location(node)))
        return ""
    if key == "prefix" and (":" in node.text or "" in node.text.split("/")):
        problems.append(
            Problem(
                "this is not a prefix of image names",
                where=yaml.format_location(node),
                hint="write for example example.com/apps",
            )
        )
    return node.text


def _items(node: yaml.Node, known: tuple[str, ...], problems: list[Problem]) -> list[tuple[str, yaml.Node]]:
    if not isinstance(node, yaml.Mapping):
        if isinstance(node, yaml.Sequence) or node.text:
            problems.append(
                Problem("a map was expected", where=yaml.format_location(node), hint=_hint(known))
            )
        return []
    for key, _ in node.items:
        if key.text not in known:
            problems.append(Problem("unknown setting", where=yaml.format_location(key), hint=_hint(known)))
    return [(key.text, value) for key, value in node.items if key.text in known]


def _texts(node: yaml.Node, problems: list[Problem]) -> tuple[str, ...]:
    items = node.items if isinstance(node, yaml.Sequence) else (node,)
    texts = []
    for item in items:
        if isinstance(item, yaml.Scalar) and item.text:
            texts.append(item.text)
        else:
            problems.append(Problem("a list of texts was expected", where=yaml.format_location(node)))
            break
    return tuple(texts)


def _hint(known: tuple[str, ...]) -> str:
    return f"known here: {', '.join(known)}"
