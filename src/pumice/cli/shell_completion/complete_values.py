"""What can stand for an option's value or an operand, by its metavar.

Nothing here opens the store or a key: names are read from directories, so that a damaged or foreign one
completes nothing instead of failing.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Candidate = tuple[str, str]

_WORDS: dict[str, tuple[str, ...]] = {
    "ARCH": ("amd64", "arm64", "armhf", "armel", "i386", "ppc64el", "riscv64", "s390x"),
    "PLATFORM": ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386", "linux/riscv64", "linux/s390x"),
    "MODE": ("auto", "host", "keep-id"),
    "POLICY": ("trust",),
    # What only the user knows:
    **dict.fromkeys(
        (
            "APP",
            "AUDIENCE",
            "BOOL",
            "KEYS",
            "CLAIM=PATTERN",
            "ID",
            "INSTRUCTION",
            "NAME[:VERSION]",
            "NAME[:VERSION][,LABEL=VALUE...]",
            "PORT",
            "PKG|SLICE",
            "QUERY",
            "SLICE",
            "[ARCHIVE=]URL",
            "ARG",
            "ADDR",
            "CALL,...",
            "CAP",
            "CAP,...",
            "COMMAND",
            "GID,...",
            "GROUP",
            "ISOLATOR:...",
            "MOUNT:...",
            "PORT:...",
            "DOMAIN",
            "DST[:OPTIONS]",
            "NAME:ADDR",
            "NAME=SOFT[:HARD]",
            "OPTION",
            "SIZE",
            "type=TYPE,…",
            "[LOCATION@]DIGEST",
            "DAY",
            "DAYS",
            "FINGERPRINT",
            "FORMAT",
            "HEX",
            "HOST",
            "CMD",
            "HOST:PORT",
            "HOST[/PATH]",
            "HOURS",
            "MIB",
            "N",
            "NAME=VALUE",
            "NET",
            "PORT[/PROTOCOL]",
            "[ADDR:][HOST:]PORT",
            "NAME:TAG",
            "NAME[:TAG]",
            "OLD-FINGERPRINT",
            "PATH",
            "PATTERN",
            "PACKAGE",
            "PKG",
            "PREFIX",
            "PROGRAM",
            "REPOSITORY",
            "SCHEME:KEY",
            "SECONDS",
            "SIGNAL",
            "SUITE",
            "TEXT",
            "TIME",
            "TYPE",
            "URL",
            "USER",
            "USER-ID",
            "USER[:GROUP]",
            "USER[:PASSWORD]",
            "WHO",
        ),
        (),
    ),
}
_FILES = frozenset(
    ("FILE", "FILE[:PASSPHRASE]", "NEW", "OLD", "BASE", "DIR|FILE", "SRC:DST[:ro]", "SRC[:DST]", "URL|FILE")
)
_DIRECTORIES = frozenset(("DIR", "DIR|NAME", "DIR|s3://BUCKET", "POLICY"))
_SOURCES = {
    "oci:": "OCI image layout in a directory",
    "oci-archive:": "OCI image layout in a tar file",
    "docker-archive:": "archive of docker save or podman save",
    "aci:": "App Container image",
    "docker://": "image in a registry",
}
_DESTINATIONS = {
    **_SOURCES,
    "tar:": "root file system as a tar file",
    "dir:": "root file system as a directory",
}
_DIRECTORY_SCHEMES = ("oci:", "dir:")


def complete_value(metavar: str, current: str) -> tuple[str, list[Candidate]]:
    """Return the directive for the shell and the candidates for a value; see `complete`."""
    candidates = [(word, "") for word in _WORDS.get(metavar, ())]
    if metavar in _FILES:
        return "files", candidates
    if metavar in _DIRECTORIES:
        return "directories", candidates
    if metavar in _COMPLETERS:
        return _COMPLETERS[metavar](current)
    return "", candidates


def has_completion(metavar: str) -> bool:
    """Return whether it is decided how values with this metavar are completed, or that they are not."""
    return any(metavar in metavars for metavars in (_FILES, _DIRECTORIES, _WORDS, _COMPLETERS))


def _references(current: str) -> tuple[str, list[Candidate]]:
    return _locations(current, _SOURCES)


def _destinations(current: str) -> tuple[str, list[Candidate]]:
    return _locations(current, _DESTINATIONS)


def _locations(current: str, schemes: dict[str, str]) -> tuple[str, list[Candidate]]:
    for scheme in schemes:
        if current.startswith(scheme) and scheme != "docker://":
            paths = list_paths(current[len(scheme) :], only_directories=scheme in _DIRECTORY_SCHEMES)
            return "nospace", [(scheme + path, description) for path, description in paths]
    images = [(name, "image in the store") for name in list_images()]
    matching = [name for name in (*schemes, *dict(images)) if name.startswith(current)]
    directive = "nospace" if matching and all(name in schemes for name in matching) else ""
    return directive, images + list(schemes.items())


def _commands_with_results(_current: str) -> tuple[str, list[Candidate]]:
    from pumice.cli.display.results import RESULTS

    words = dict.fromkeys(word for command in RESULTS for word in command.split())
    return "", [(word, "") for word in words]


def _image_names(_current: str) -> tuple[str, list[Candidate]]:
    return "", [(name, "image in the store") for name in list_images()]


def _pods(_current: str) -> tuple[str, list[Candidate]]:
    return "", [(name, "pod") for name in list_pods()]


def _keys(_current: str) -> tuple[str, list[Candidate]]:
    return "files", [(name, "key") for name in list_keys()]


def _recipes(current: str) -> tuple[str, list[Candidate]]:
    paths = [
        (path, description)
        for path, description in list_paths(current)
        if path.endswith(("/", ".yaml", ".yml"))
    ]
    return ("nospace" if all(path.endswith("/") for path, _ in paths) else ""), paths


def list_paths(partial: str, *, only_directories: bool = False) -> Iterator[Candidate]:
    """Yield the paths that begin with ``partial``; directories end in a slash."""
    directory, separator, beginning = partial.rpartition("/")
    try:
        entries = sorted(
            os.scandir(os.path.expanduser(directory + separator) or "."), key=lambda entry: entry.name
        )
    except OSError:
        return
    for entry in entries:
        if not entry.name.startswith(beginning) or (entry.name.startswith(".") and not beginning):
            continue
        if entry.is_dir():
            yield f"{directory}{separator}{entry.name}/", "directory"
        elif not only_directories:
            yield f"{directory}{separator}{entry.name}", "file"


def list_images() -> list[str]:
    """Return the names of the images in the store, empty if it cannot be read."""
    from pumice.errors import PumiceError
    from pumice.store.file_names import decode_reference
    from pumice.store.location import locate

    try:
        file_names = os.listdir(os.path.join(locate(os.environ), "refs"))
    except (OSError, PumiceError):
        return []
    return sorted(filter(None, map(decode_reference, file_names)))


def list_pods() -> list[str]:
    """Return the names of the pods in the store, empty if it cannot be read."""
    import json

    from pumice.errors import PumiceError
    from pumice.store.location import locate

    names = []
    try:
        with os.scandir(os.path.join(locate(os.environ), "pods")) as entries:
            for entry in entries:
                with open(os.path.join(entry.path, "pod.json"), encoding="utf-8") as file:
                    names.append(str(json.load(file)["name"]))
    except (OSError, PumiceError, ValueError, KeyError, TypeError):
        pass
    return sorted(names)


def list_keys() -> list[str]:
    """Return the names of the keys in the key directory, empty if it cannot be read."""
    from pumice.errors import PumiceError
    from pumice.trust.key_directory import keys_directory

    try:
        file_names = os.listdir(keys_directory(os.environ))
    except (OSError, PumiceError):
        return []
    return sorted({stem for stem, end in map(os.path.splitext, file_names) if end in (".key", ".pub")})


def _recipes_or_references(current: str) -> tuple[str, list[Candidate]]:
    _, recipes = _recipes(current)
    directive, references = _references(current)
    return directive, [*recipes, *references]


_COMPLETERS: dict[str, Callable[[str], tuple[str, list[Candidate]]]] = {
    "A": _references,
    "B": _references,
    "COMMAND": _commands_with_results,
    "DEST": _destinations,
    "DST": _destinations,
    "KEY": _keys,
    "NAME": _image_names,
    "NEW-KEY": _keys,
    "HOST/REPO:TAG": _image_names,
    "POD": _pods,
    "PUB": _keys,
    "RECIPE": _recipes,
    "RECIPE|REF": _recipes_or_references,
    "REF": _references,
    "SRC": _references,
}
