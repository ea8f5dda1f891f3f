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
_OTHER_SECTIONS = ("registries",)
"""Sections that others read."""
_LIST_KEYS = ("mirrors", "security_mirrors", "snapshots", "keyrings")
_SIGN = "sign"
_SAFE_DIRECTORIES = "safe_directories"
_SIGNING_KEYS = ("key", "passphrase_file", "prefix")


class DistributionConfig(msgspec.Struct, frozen=True):
    """What the configuration says of one distribution; empty means: not said. Keyrings are paths."""

    mirrors: tuple[str, ...] = ()
    security_mirrors: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()
    keyrings: tuple[str, ...] = ()


class SigningConfig(msgspec.Struct, frozen=True, kw_only=True):
    """By which key images are signed whose name is ``prefix`` or below it ("": all).

    ``key`` is a path or the name of a key that is kept, ``passphrase_file`` a path, "" for none.
    ``where`` is where that stands.
    """

    key: str
    passphrase_file: str = ""
    prefix: str = ""
    location: str = ""


class Config(msgspec.Struct, frozen=True):
    """The whole configuration."""

    debian: DistributionConfig = DistributionConfig()
    sign: tuple[SigningConfig, ...] = ()
    safe_directories: tuple[str, ...] = ()
    """Directories of other users that root uses nevertheless; ``*`` is all of them."""

    def find_signing(self, name: str) -> SigningConfig | None:
        """Return what an image called ``name`` is signed by: the longest prefix counts; None for nothing."""
        matching = [
            section
            for section in self.sign
            if not section.prefix or f"{name}/".startswith(f"{section.prefix}/")
        ]
        return max(matching, key=lambda one: len(one.prefix), default=None)


def config_path(environ: Mapping[str, str]) -> Path:
    """Return where the configuration is looked for, whether or not there is one."""
    if environ.get("PUMICE_CONFIG"):
        return Path(environ["PUMICE_CONFIG"])
    base = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME") or "/") / ".config")
    return Path(base) / "pumice" / "config.yaml"


def load_config(environ: Mapping[str, str]) -> Config:
    """Read the configuration; no file is an empty one unless ``PUMICE_CONFIG`` names it.

    Raises RecipeError with every problem in it, PumiceError if it cannot be read.
    """
    content = read_config_file(environ)
    return parse_config(*content) if content is not None else Config()


def read_config_file(environ: Mapping[str, str]) -> tuple[bytes, str] | None:
    """Return the configuration file's bytes and path, None if there is none; raises as `load` does."""
    path = config_path(environ)
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


def parse_config(data: bytes, name: str) -> Config:
    """Return the configuration in ``data``; paths in it are relative to the folder of ``where``."""
    document = yaml.read_document(data, name, quote=False)
    problems = list(document.problems)
    distributions: dict[str, DistributionConfig] = {}
    sign: tuple[SigningConfig, ...] = ()
    safe: tuple[str, ...] = ()
    if document.root is not None:
        for name, node in _read_items(
            document.root, (*_DISTRIBUTIONS, _SIGN, _SAFE_DIRECTORIES, *_OTHER_SECTIONS), problems
        ):
            if name == _SIGN:
                sign = tuple(_read_signing(node, Path(name).parent, problems))
            if name == _SAFE_DIRECTORIES:
                safe = _read_texts(node, problems)
            if name in (_SIGN, _SAFE_DIRECTORIES, *_OTHER_SECTIONS):
                continue
            lists = {
                key: _read_texts(value, problems) for key, value in _read_items(node, _LIST_KEYS, problems)
            }
            if "keyrings" in lists:
                folder = Path(name).parent
                lists["keyrings"] = tuple(str(folder / Path(text).expanduser()) for text in lists["keyrings"])
            distributions[name] = DistributionConfig(**lists)
    if problems:
        raise RecipeError(problems)
    return Config(**distributions, sign=sign, safe_directories=safe)


def _read_signing(node: yaml.Node, folder: Path, problems: list[Problem]) -> Iterator[SigningConfig]:
    """Yield one key's settings, or those of a list of them."""
    location_by_prefix: dict[str, str] = {}
    for item in node.items if isinstance(node, yaml.Sequence) else (node,):
        problem_count = len(problems)
        values = {
            key: _read_text(key, value, problems) for key, value in _read_items(item, _SIGNING_KEYS, problems)
        }
        if len(problems) > problem_count:
            continue
        if not values.get("key"):
            problems.append(
                Problem("there is no key to sign with", where=yaml.format_location(item), hint="say key:")
            )
            continue
        prefix = values.get("prefix", "")
        if prefix in location_by_prefix:
            text = f"a key for {prefix or 'every name'} stands at {location_by_prefix[prefix]} already"
            problems.append(Problem(text, where=yaml.format_location(item), hint="give each its own prefix:"))
            continue
        location_by_prefix[prefix] = yaml.format_location(item)
        passphrase_file = values.get("passphrase_file", "")
        yield SigningConfig(
            key=_resolve_key(folder, values["key"]),
            passphrase_file=str(folder / Path(passphrase_file).expanduser()) if passphrase_file else "",
            prefix=prefix,
            location=yaml.format_location(item),
        )


def _resolve_key(folder: Path, key: str) -> str:
    """Return the path of a key's file, unless it is the name of one that is kept."""
    path = folder / Path(key).expanduser()
    return str(path) if "/" in key or path.exists() else key


def _read_text(key: str, node: yaml.Node, problems: list[Problem]) -> str:
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


def _read_items(
    node: yaml.Node, allowed: tuple[str, ...], problems: list[Problem]
) -> list[tuple[str, yaml.Node]]:
    if not isinstance(node, yaml.Mapping):
        if isinstance(node, yaml.Sequence) or node.text:
            problems.append(
                Problem("a map was expected", where=yaml.format_location(node), hint=_hint(allowed))
            )
        return []
    for key, _ in node.items:
        if key.text not in allowed:
            problems.append(Problem("unknown setting", where=yaml.format_location(key), hint=_hint(allowed)))
    return [(key.text, value) for key, value in node.items if key.text in allowed]


def _read_texts(node: yaml.Node, problems: list[Problem]) -> tuple[str, ...]:
    items = node.items if isinstance(node, yaml.Sequence) else (node,)
    texts = []
    for item in items:
        if isinstance(item, yaml.Scalar) and item.text:
            texts.append(item.text)
        else:
            problems.append(Problem("a list of texts was expected", where=yaml.format_location(node)))
            break
    return tuple(texts)


def _hint(allowed: tuple[str, ...]) -> str:
    return f"known here: {', '.join(allowed)}"
