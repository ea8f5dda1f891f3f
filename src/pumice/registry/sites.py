"""How registries are reached here, as the configuration's ``registries`` says: mirrors, rewrites, TLS.

Specified in ``docs/reference/registries.md``, "Configuration".
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import Problem, RecipeError, UsageError
from pumice.formats import yaml
from pumice.registry.reference import Repository, check_host, parse_repository
from pumice.registry.transport import Tls

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SECTION = "registries"
_KEYS = ("mirrors", "rewrite", "insecure", "ca", "cert", "key")
_BOOLEANS = {"true": True, "false": False}


class Site(msgspec.Struct, frozen=True):
    """What holds for repositories whose name begins with ``prefix`` (``HOST`` or ``HOST/PART/…``).

    ``rewrite`` takes the place of the prefix; ``mirrors`` do so for reading, and are asked before.
    ``insecure`` and ``tls`` hold for the host itself.
    """

    prefix: str
    mirrors: tuple[str, ...] = ()
    rewrite: str = ""
    insecure: bool = False
    tls: Tls = Tls()

    def holds(self, repository: Repository) -> bool:
        """Say whether a repository is one of these."""
        return f"{repository}/".startswith(f"{self.prefix}/")


def target(sites: Sequence[Site], repository: Repository) -> Repository:
    """Return where a repository really is, after its rewrite."""
    site = _longest(sites, repository)
    return _moved(repository, site.prefix, site.rewrite) if site and site.rewrite else repository


def mirrors(sites: Sequence[Site], repository: Repository) -> tuple[Repository, ...]:
    """Return the repositories to read from before the real one."""
    site = _longest(sites, repository)
    return tuple(_moved(repository, site.prefix, to) for to in site.mirrors) if site else ()


def reach(sites: Sequence[Site], host: str) -> Site | None:
    """Return what is said of a host's connections, None if nothing is."""
    said = [
        one for one in sites if one.prefix.partition("/")[0] == host and (one.insecure or one.tls != Tls())
    ]
    return min(said, key=lambda one: len(one.prefix), default=None)


def _longest(sites: Sequence[Site], repository: Repository) -> Site | None:
    fitting = [one for one in sites if one.holds(repository)]
    return max(fitting, key=lambda one: len(one.prefix), default=None)


def _moved(repository: Repository, prefix: str, to: str) -> Repository:
    rest = str(repository)[len(prefix) :]
    host, _, name = (to + rest).partition("/")
    return Repository(host, name)


# Reading ------------------------------------------------------------------------------------------


def read(data: bytes, where: str) -> tuple[Site, ...]:
    """Return what a configuration file says of registries; raises RecipeError with every problem.

    Paths are relative to the folder of ``where``. Other sections are not looked at.
    """
    root = yaml.read_document(data, where, quote=False).root
    items = root.items if isinstance(root, yaml.Mapping) else ()
    section = next((value for key, value in items if key.text == SECTION), None)
    if section is None:
        return ()
    problems: list[Problem] = []
    found = [_site(key, value, Path(where).parent, problems) for key, value in _pairs(section, problems)]
    if problems:
        raise RecipeError(problems)
    return tuple(found)


def _pairs(node: yaml.Node, problems: list[Problem]) -> Sequence[tuple[yaml.Scalar, yaml.Node]]:
    if isinstance(node, yaml.Mapping):
        return node.items
    if isinstance(node, yaml.Sequence) or node.text:
        problems.append(Problem("a map was expected", where=yaml.format_location(node)))
    return ()


def _site(key: yaml.Scalar, value: yaml.Node, folder: Path, problems: list[Problem]) -> Site:
    said = {name.text: (name, node) for name, node in _pairs(value, problems)}
    hint = f"known here: {', '.join(_KEYS)}"
    problems += [
        Problem("unknown setting", where=yaml.format_location(node), hint=hint)
        for name, (node, _) in said.items()
        if name not in _KEYS
    ]

    def text(name: str) -> str:
        node = said[name][1] if name in said else None
        if node is None or (isinstance(node, yaml.Scalar) and node.text):
            return node.text if isinstance(node, yaml.Scalar) else ""
        problems.append(Problem("a text was expected", where=yaml.format_location(node)))
        return ""

    def path(name: str) -> str:
        given = text(name)
        return str(folder / Path(given).expanduser()) if given else ""

    insecure = text("insecure") or "false"
    if insecure not in _BOOLEANS:
        problems.append(Problem("expected true or false", where=yaml.format_location(said["insecure"][1])))
    listed = said["mirrors"][1] if "mirrors" in said else None
    items = listed.items if isinstance(listed, yaml.Sequence) else () if listed is None else (listed,)
    rewrite = said["rewrite"][1] if "rewrite" in said else None
    return Site(
        _prefix(key, problems),
        tuple(_prefix(one, problems) for one in items),
        _prefix(rewrite, problems) if rewrite is not None else "",
        _BOOLEANS.get(insecure, False),
        Tls(path("ca"), path("cert"), path("key")),
    )


def _prefix(node: yaml.Node, problems: list[Problem]) -> str:
    """``HOST`` or ``HOST/PART``, as repositories begin."""
    text = node.text.rstrip("/") if isinstance(node, yaml.Scalar) else ""
    host, slash, _ = text.partition("/")
    if not text:
        what = "a host, or the beginning of a repository's name, was expected"
        problems.append(Problem(what, where=yaml.format_location(node)))
        return ""
    try:
        # With a part more, one part below the Hub does not get its "library/".
        known = check_host(host)
        return (
            str(parse_repository(f"{known}/{text[len(host) + 1 :]}/x")).removesuffix("/x") if slash else known
        )
    except UsageError as error:
        # The error quotes the text, which may be of any file that the configuration was taken for.
        what = "this is not a host or the beginning of a repository's name"
        problems.append(Problem(what, where=yaml.format_location(node), hint=error.hint))
        return ""


def load(environ: Mapping[str, str]) -> tuple[Site, ...]:
    """Return what the person's configuration says of registries; nothing if there is no such file.

    Raises RecipeError with every problem, PumiceError if the file cannot be read.
    """
    from pumice.recipe import config

    found = config.content(environ)
    return read(*found) if found is not None else ()
