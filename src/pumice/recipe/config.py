"""The configuration of a user for all recipes: mirrors and keyrings by distribution, and signing keys.

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
"""Sections that other modules read."""
_LIST_KEYS = ("mirrors", "security_mirrors", "snapshots", "keyrings")
_SIGN = "sign"
_SAFE_DIRECTORIES = "safe_directories"
_SIGNING_KEYS = ("key", "passphrase_file", "prefix")


class DistributionConfig(msgspec.Struct, frozen=True):
    """The settings of one distribution, empty if not configured. Keyrings are paths."""

    mirrors: tuple[str, ...] = ()
    security_mirrors: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()
    keyrings: tuple[str, ...] = ()


class SigningConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The key that signs images whose name is ``prefix`` or below it (empty: all images).

    ``key`` is a path or the name of a stored key; ``passphrase_file`` a path, empty for none.
    ``location`` is the ``file:line:col`` of the section.
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
    """Directories of other users that root may use; ``*`` means all."""

    def find_signing(self, name: str) -> SigningConfig | None:
        """Return the section with the longest prefix of the image name ``name``, None if there is none."""
        matching = [
            section
            for section in self.sign
            if not section.prefix or f"{name}/".startswith(f"{section.prefix}/")
        ]
        return max(matching, key=lambda section: len(section.prefix), default=None)


def config_path(environ: Mapping[str, str]) -> Path:
    """Return the path of the configuration file, which may not exist."""
    if environ.get("PUMICE_CONFIG"):
        return Path(environ["PUMICE_CONFIG"])
    base = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME") or "/") / ".config")
    return Path(base) / "pumice" / "config.yaml"


def load_config(environ: Mapping[str, str]) -> Config:
    """Return the configuration; a missing file is empty unless ``PUMICE_CONFIG`` names it.

    Raises RecipeError with all problems in it, PumiceError if it cannot be read.
    """
    content = read_config_file(environ)
    return parse_config(*content) if content is not None else Config()


def read_config_file(environ: Mapping[str, str]) -> tuple[bytes, str] | None:
    """Return the bytes and the path of the configuration file, None if it is missing; raises PumiceError."""
    path = config_path(environ)
    try:
        return path.read_bytes(), str(path)
    except (FileNotFoundError, NotADirectoryError):
        if environ.get("PUMICE_CONFIG"):
            raise PumiceError(
                "the configuration file does not exist", where=str(path), hint="check PUMICE_CONFIG"
            ) from None
        return None
    except OSError as error:
        raise PumiceError(f"cannot read the configuration: {error.strerror}", where=str(path)) from error


def parse_config(data: bytes, path: str) -> Config:
    """Return the configuration in ``data``; its paths are relative to the directory of the file ``path``.

    Raises RecipeError with all problems.
    """
    document = yaml.read_document(data, path, quote=False)
    problems = list(document.problems)
    directory = Path(path).parent
    sections: dict[str, yaml.Node] = {}
    if document.root is not None:
        allowed = (*_DISTRIBUTIONS, _SIGN, _SAFE_DIRECTORIES, *_OTHER_SECTIONS)
        sections = dict(_read_items(document.root, allowed, problems))
    distributions = {
        name: _read_distribution(sections[name], directory, problems)
        for name in _DISTRIBUTIONS
        if name in sections
    }
    sign = tuple(_read_signing(sections[_SIGN], directory, problems)) if _SIGN in sections else ()
    safe = _read_texts(sections[_SAFE_DIRECTORIES], problems) if _SAFE_DIRECTORIES in sections else ()
    if problems:
        raise RecipeError(problems)
    return Config(**distributions, sign=sign, safe_directories=safe)


def _read_distribution(node: yaml.Node, directory: Path, problems: list[Problem]) -> DistributionConfig:
    lists = {key: _read_texts(value, problems) for key, value in _read_items(node, _LIST_KEYS, problems)}
    if "keyrings" in lists:
        lists["keyrings"] = tuple(str(directory / Path(text).expanduser()) for text in lists["keyrings"])
    return DistributionConfig(**lists)


def _read_signing(node: yaml.Node, folder: Path, problems: list[Problem]) -> Iterator[SigningConfig]:
    """Yield the section for one signing key, or those of a list of them."""
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
                Problem("a signing section needs a key", where=yaml.format_location(item), hint="add 'key:'")
            )
            continue
        prefix = values.get("prefix", "")
        if prefix in location_by_prefix:
            text = f"{prefix or 'every name'} has a signing key already, at {location_by_prefix[prefix]}"
            problems.append(
                Problem(text, where=yaml.format_location(item), hint="give each section its own 'prefix:'")
            )
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
    """Return the path of a key file; the name of a stored key is returned as it is."""
    path = folder / Path(key).expanduser()
    return str(path) if "/" in key or path.exists() else key


def _read_text(key: str, node: yaml.Node, problems: list[Problem]) -> str:
    if not isinstance(node, yaml.Scalar) or not node.text:
        problems.append(Problem("expected a string", where=yaml.format_location(node)))
        return ""
    if key == "prefix" and (":" in node.text or "" in node.text.split("/")):
        problems.append(
            Problem(
                "not a prefix of image names",
                where=yaml.format_location(node),
                hint="for example: example.com/apps",
            )
        )
    return node.text


def _read_items(
    node: yaml.Node, allowed: tuple[str, ...], problems: list[Problem]
) -> list[tuple[str, yaml.Node]]:
    if not isinstance(node, yaml.Mapping):
        if isinstance(node, yaml.Sequence) or node.text:
            problems.append(
                Problem("expected a mapping", where=yaml.format_location(node), hint=_hint(allowed))
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
            problems.append(Problem("expected a list of strings", where=yaml.format_location(node)))
            break
    return tuple(texts)


def _hint(allowed: tuple[str, ...]) -> str:
    return f"allowed: {', '.join(allowed)}"
