"""The ``registries`` section of the configuration: mirrors, rewrites and TLS files.

Specified in ``docs/reference/registries.md``, "Configuration".
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import Problem, RecipeError, UsageError
from pumice.formats import yaml
from pumice.registry.reference import Repository, normalize_host, parse_repository
from pumice.registry.transport import TlsFiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SECTION = "registries"
_KEYS = ("mirrors", "rewrite", "insecure", "ca", "cert", "key")
_BOOLEANS = {"true": True, "false": False}


class RegistryConfig(msgspec.Struct, frozen=True):
    """The configuration of repositories with the prefix ``prefix`` (``HOST`` or ``HOST/COMPONENT/…``).

    ``rewrite`` replaces the prefix. ``mirrors`` replace it too, for reading, and are tried first.
    ``plain_http`` (``insecure`` in the file) and ``tls`` apply to the host.
    """

    prefix: str
    mirrors: tuple[str, ...] = ()
    rewrite: str = ""
    plain_http: bool = False
    tls: TlsFiles = TlsFiles()

    def applies_to(self, repository: Repository) -> bool:
        """Return whether a repository has this prefix."""
        return f"{repository}/".startswith(f"{self.prefix}/")


def rewrite_repository(configs: Sequence[RegistryConfig], repository: Repository) -> Repository:
    """Return the repository that the configuration puts in the place of this one."""
    config = _most_specific(configs, repository)
    return (
        _replace_prefix(repository, config.prefix, config.rewrite)
        if config and config.rewrite
        else repository
    )


def mirrors_of(configs: Sequence[RegistryConfig], repository: Repository) -> tuple[Repository, ...]:
    """Return the mirrors of a repository, in the order to try them."""
    config = _most_specific(configs, repository)
    return tuple(_replace_prefix(repository, config.prefix, to) for to in config.mirrors) if config else ()


def connection_config(configs: Sequence[RegistryConfig], host: str) -> RegistryConfig | None:
    """Return the configuration of the connections to a host, None if there is none."""
    matching = [
        config
        for config in configs
        if config.prefix.partition("/")[0] == host and (config.plain_http or config.tls != TlsFiles())
    ]
    return min(matching, key=lambda config: len(config.prefix), default=None)


def _most_specific(configs: Sequence[RegistryConfig], repository: Repository) -> RegistryConfig | None:
    matching = [config for config in configs if config.applies_to(repository)]
    return max(matching, key=lambda config: len(config.prefix), default=None)


def _replace_prefix(repository: Repository, prefix: str, new_prefix: str) -> Repository:
    suffix = str(repository)[len(prefix) :]
    host, _, name = (new_prefix + suffix).partition("/")
    return Repository(host, name)


# Parsing ------------------------------------------------------------------------------------------


def read_registry_configs(data: bytes, path: str) -> tuple[RegistryConfig, ...]:
    """Return the registries of a configuration file; raises RecipeError with every problem.

    Paths are relative to the directory of ``path``. Other sections are ignored.
    """
    root = yaml.read_document(data, path, quote=False).root
    items = root.items if isinstance(root, yaml.Mapping) else ()
    section = next((value for key, value in items if key.text == SECTION), None)
    if section is None:
        return ()
    problems: list[Problem] = []
    configs = [
        _registry_config(key, value, Path(path).parent, problems)
        for key, value in _key_value_pairs(section, problems)
    ]
    if problems:
        raise RecipeError(problems)
    return tuple(configs)


def _key_value_pairs(node: yaml.Node, problems: list[Problem]) -> Sequence[tuple[yaml.Scalar, yaml.Node]]:
    if isinstance(node, yaml.Mapping):
        return node.items
    if isinstance(node, yaml.Sequence) or node.text:
        problems.append(Problem("expected a mapping", where=yaml.format_location(node)))
    return ()


def _registry_config(
    key: yaml.Scalar, value: yaml.Node, folder: Path, problems: list[Problem]
) -> RegistryConfig:
    settings = _Settings(value, folder, problems)
    mirrors = settings.node("mirrors")
    rewrite = settings.node("rewrite")
    return RegistryConfig(
        _prefix(key, problems),
        tuple(_prefix(mirror, problems) for mirror in _list_items(mirrors)),
        _prefix(rewrite, problems) if rewrite is not None else "",
        settings.flag("insecure"),
        TlsFiles(settings.path("ca"), settings.path("cert"), settings.path("key")),
    )


def _list_items(node: yaml.Node | None) -> Sequence[yaml.Node]:
    """Return the items of a list; a single value is a list of one."""
    if node is None:
        return ()
    return node.items if isinstance(node, yaml.Sequence) else (node,)


class _Settings:
    """The settings of one registry; whatever is wrong with them is added to ``problems``."""

    def __init__(self, node: yaml.Node, folder: Path, problems: list[Problem]) -> None:
        """``folder`` is what paths are relative to."""
        self._folder = folder
        self._problems = problems
        self._nodes: dict[str, yaml.Node] = {}
        for name, value in _key_value_pairs(node, problems):
            self._nodes[name.text] = value
            if name.text not in _KEYS:
                hint = f"valid settings: {', '.join(_KEYS)}"
                problems.append(Problem("unknown setting", where=yaml.format_location(name), hint=hint))

    def node(self, name: str) -> yaml.Node | None:
        """Return the value of a setting, None if it is missing."""
        return self._nodes.get(name)

    def text(self, name: str) -> str:
        """Return a setting that is a string, empty if it is missing."""
        node = self.node(name)
        if node is None:
            return ""
        if isinstance(node, yaml.Scalar) and node.text:
            return node.text
        self._problems.append(Problem("expected a string", where=yaml.format_location(node)))
        return ""

    def path(self, name: str) -> str:
        """Return a setting that is a path; a relative one begins at the folder of the configuration."""
        text = self.text(name)
        return str(self._folder / Path(text).expanduser()) if text else ""

    def flag(self, name: str) -> bool:
        """Return a setting that is true or false, false if it is missing."""
        text = self.text(name) or "false"
        if text not in _BOOLEANS:
            where = yaml.format_location(self._nodes[name])
            self._problems.append(Problem("expected true or false", where=where))
        return _BOOLEANS.get(text, False)


def _prefix(node: yaml.Node, problems: list[Problem]) -> str:
    """Return ``HOST`` or ``HOST/COMPONENT``, the prefix of repositories."""
    text = node.text.rstrip("/") if isinstance(node, yaml.Scalar) else ""
    host, slash, _ = text.partition("/")
    if not text:
        message = "expected a host or the prefix of a repository name"
        problems.append(Problem(message, where=yaml.format_location(node)))
        return ""
    try:
        # Parse it with another component: a single one on Docker Hub would get "library/".
        normalized_host = normalize_host(host)
        return (
            str(parse_repository(f"{normalized_host}/{text[len(host) + 1 :]}/x")).removesuffix("/x")
            if slash
            else normalized_host
        )
    except UsageError as error:
        # The error quotes the text, which may come from any file passed as configuration.
        message = "not a host or the prefix of a repository name"
        problems.append(Problem(message, where=yaml.format_location(node), hint=error.hint))
        return ""


def load_registry_configs(environ: Mapping[str, str]) -> tuple[RegistryConfig, ...]:
    """Return the registries of the user's configuration, none if the file does not exist.

    Raises RecipeError with every problem, PumiceError if the file cannot be read.
    """
    from pumice.recipe import config

    content = config.read_config_file(environ)
    return read_registry_configs(*content) if content is not None else ()
