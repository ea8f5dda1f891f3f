"""The grammars and checks of the values in a recipe, with the specifications that they come from."""

from __future__ import annotations

from typing import Any

from pumice.errors import PumiceError
from pumice.formats import image_names
from pumice.recipe import arguments
from pumice.recipe.kinds import Grammar, InvalidValue
from pumice.recipe.model import Request

MAX_ID = (1 << 32) - 2
"""The highest user or group id: (uid_t) -1 means no id in system calls."""

_USER = "[a-z_][a-z0-9_-]{0,31}"
# Printable ASCII without '?' and '#', and in hosts without '/' and '@'.
_URL_TEXT = '[!-"$->@-~]'
_URL_HOST = '[!-"$-.0->A-~]+'
_PART = "[A-Za-z0-9][A-Za-z0-9.+~_-]*"

# Where OCI repository names (distribution-spec 1.1, "name") and App Container identifiers
# (appc 0.8.11, "AC Identifier Type") agree, so that an image has one name everywhere.
NAME = Grammar(
    "an image name",
    "[a-z0-9]+([._/-][a-z0-9]+)*",
    "lower-case letters and digits, separated by single '.', '_', '-' or '/', as in example.com/hello",
    255,
)
# distribution-spec 1.1, "tag".
VERSION = Grammar(
    "a version that can be a tag",
    image_names.TAG,
    "at most 128 letters, digits, '.', '_' and '-'",
    128,
)
SUITE = Grammar("a suite", f"{_PART}(/{_PART})*", "a codename such as bookworm", 128)
ARCHIVE_SUITE = Grammar(
    "a suite",
    rf"\.?/|(\./)?({_PART}/)+|{_PART}(/{_PART})*",
    "a codename such as bookworm; for an archive without dists its directory with a '/' at the end, or '/'",
    128,
)
COMPONENT = Grammar("a component", f"{_PART}(/{_PART})*", "a name such as main or contrib", 128)
ARCHIVE = Grammar(
    "an archive's name", "[a-z0-9]+([.-][a-z0-9]+)*", "lower-case letters, digits, '.' and '-'", 64
)
URL = Grammar(
    "a URL of an archive",
    f"https?://{_URL_HOST}(/{_URL_TEXT}*)?|file:(//)?/{_URL_TEXT}*",
    "start with https://, http:// or file:/, without a user name; put passwords in apt's auth.conf",
)
SNAPSHOT = Grammar(
    "a URL template of a snapshot mirror",
    f"(https?://{_URL_HOST}/|file:(//)?/){_URL_TEXT}*[{{]date[}}]{_URL_TEXT}*",
    "a URL in which {date} is replaced by the lock's date, as in https://snapshot.example/{date}/debian",
)
# Debian Policy 5.6.1 and 5.6.12.
PACKAGE = Grammar("a package", "[a-z0-9][a-z0-9+.-]+", "lower-case letters, digits, '+', '-' and '.'", 128)
PACKAGE_VERSION = Grammar(
    "a package version", "([0-9]+:)?[0-9][A-Za-z0-9.+~:-]*", "for example 3.11.2-1+b1", 256
)
PACKAGE_PATTERN = Grammar(
    "a package or a pattern of names",
    r"[a-z0-9*][a-z0-9+.*-]*",
    "a name, in which '*' matches anything, as in postgresql-*",
    128,
)
REQUEST = Grammar(
    "a package",
    r"-?[a-z0-9][a-z0-9+.-]+|[a-z0-9][a-z0-9+.-]+=([0-9]+:)?[0-9*][A-Za-z0-9.+~:*-]*"
    r"|\.\.?/([^\x00-\x1f\x7f]*/)?[^/\x00-\x1f\x7f]+\.deb"
    r"|[a-z0-9](-?[.a-z0-9+])+_[a-z](-?[a-z0-9]){2,}",
    "use name, name=version, name=1.2.*, -name to exclude it, name_slice, or ./file.deb",
)
RELEASE = Grammar(
    "a release of slices",
    r"[a-z][a-z0-9-]*|(\.\.?)?/[^\x00-\x1f\x7f]+",
    "a path that starts with './', '../' or '/', or a release that comes with Pumice",
)
PATH = Grammar(
    "an absolute path",
    r"/|(/(?!\.\.?(/|$))[^/\x00-\x1f\x7f]+)+",
    "start with '/', without '.', '..' or '//', and without '/' at the end",
)
TARGET = Grammar(
    "an absolute path",
    r"/|(/(?!\.\.?(/|$))[^/\x00-\x1f\x7f]+)+/?",
    "start with '/', without '.', '..' or '//'; with a '/' at the end it is a directory to put things into",
)
SOURCE = Grammar(
    "a path in the recipe's directory",
    r"(?!/)(?!(.*/)?\.\.(/|$))[^\x00-\x1f\x7f]+",
    "a recipe can use only files in its own directory and below",
)
FILE = Grammar("a path", r"[^\x00-\x1f\x7f]+", "a path relative to the recipe")
LINK = Grammar(
    "the target of a link", r"[^\x00-\x1f\x7f]+", "a path, relative to where the link is or absolute"
)
PATTERN = Grammar("a pattern", r"[^\x00-\x1f\x7f]+", "as in .gitignore: '*.pyc', '/build', 'tmp/'")
EXCLUDED = Grammar(
    "a pattern", PATTERN.pattern, "as in .gitignore: '/usr/lib/x', '*.a', '!/usr/lib/x/y'", 512
)
# Debian Policy 9.2 and adduser(8).
USER = Grammar("a user name", _USER, "at most 32 lower-case letters, digits, '_' and '-'", 32)
GROUP = Grammar("a group name", _USER, "at most 32 lower-case letters, digits, '_' and '-'", 32)
GROUP_OR_ID = Grammar("a group", f"{_USER}|[0-9]{{1,10}}", f"a name, or a number up to {MAX_ID}")
OWNER = Grammar(
    "a user",
    f"({_USER}|[0-9]{{1,10}})(:({_USER}|[0-9]{{1,10}}))?",
    f"user or user:group, each a name or a number up to {MAX_ID}",
)
COMMENT = Grammar("a comment", r"[^:\x00-\x1f\x7f]*", "one line without ':'", 256)
# appc 0.8.11, "environment"; POSIX allows no '.' and '-'.
VARIABLE = Grammar(
    "a variable's name", "[A-Za-z_][A-Za-z0-9_.-]*", "letters, digits, '_', '.' and '-', no digit first", 256
)
ARGUMENT = Grammar(
    "an argument's name", arguments.NAME, "at most 64 letters, digits and '_', no digit first", 64
)
# appc 0.8.11, "AC Name Type".
AC_NAME = Grammar(
    "a name", "[a-z0-9]+(-[a-z0-9]+)*", "lower-case letters and digits, separated by single '-'", 64
)
LABEL = Grammar(
    "a label's name", r"[^\s=\x00-\x1f\x7f]+", "no spaces and no '=', as in com.example.team", 256
)
PORT = Grammar("a port", "[0-9]{1,5}(/(tcp|udp))?", "a number from 1 to 65535, optionally followed by /udp")
SIGNAL = Grammar("a signal", "SIG[A-Z]+[0-9]*([+-][0-9]+)?", "a name such as SIGTERM or SIGQUIT", 16)
ARCHITECTURE = Grammar(
    "an architecture", "[a-z0-9_-]+(/[a-z0-9_-]+){0,2}", "such as amd64, arm64 or riscv64", 32
)

# signal(7): the signals of Linux on all architectures.
_SIGNALS = frozenset(
    (
        *("HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "IOT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2"),
        *("PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG"),
        *("XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "POLL", "PWR", "SYS", "RTMIN", "RTMAX"),
    )
)


def parse_request(text: str) -> Request:
    """Return the request in one item of ``packages``."""
    if text.endswith(".deb") and text.startswith(("./", "../")):
        return Request(name="", file=normalize_path(text))
    if text.startswith("-"):
        return Request(name=text[1:], exclude=True)
    name, _, version = text.partition("=")
    if "_" in name:
        name, _, slice_name = name.partition("_")
        return Request(name=name, slice=slice_name)
    return Request(name=name, version=version)


def request_name(text: str) -> str:
    """Return the identity of a request: the name of the package or the path of the file."""
    return text if text.startswith(".") else text.removeprefix("-").partition("=")[0]


def normalize_path(path: str) -> str:
    """Return a relative path without ``.`` and ``//``, and with ``..`` only at the start."""
    import posixpath

    return posixpath.normpath(path)


def parse_architecture(text: str) -> str:
    """Return Debian's name of an architecture, given any of its names; raises InvalidValue."""
    from pumice.formats import platforms

    try:
        return platforms.parse_architecture(text)
    except PumiceError as error:
        raise InvalidValue(error.message, error.hint) from None


def parse_port(text: str) -> str:
    """Return a port as ``NUMBER/tcp`` or ``NUMBER/udp``; raises InvalidValue."""
    number, _, protocol = text.partition("/")
    if not 1 <= int(number) <= 65535:
        raise InvalidValue(f"{number} is not a port", PORT.hint)
    return f"{int(number)}/{protocol or 'tcp'}"


def parse_signal(text: str) -> str:
    """Return the name of a signal; raises InvalidValue."""
    name = text.removeprefix("SIG").partition("+")[0].partition("-")[0]
    if name not in _SIGNALS or (text != "SIG" + name and name not in ("RTMIN", "RTMAX")):
        raise InvalidValue(f"{text!r} is not a signal", SIGNAL.hint)
    return text


def parse_owner(text: str) -> str:
    """Return ``user[:group]``; raises InvalidValue for a number that is too large for an id."""
    for name in text.split(":"):
        if name.isdigit() and int(name) > MAX_ID:
            raise InvalidValue(f"the id {name} is higher than {MAX_ID}", OWNER.hint)
    return text


def parse_archive_suite(text: str) -> str:
    """Return the suite of an extra archive; a flat archive's ends in ``/``, and is ``/`` for its root."""
    return text.removeprefix("./") or "/"


def parse_archive_name(text: str) -> str:
    """Return the name of an extra archive; raises InvalidValue for a reserved one."""
    if text in ("debian", "debian-security"):
        raise InvalidValue(f"{text!r} is the name of the distribution's own archive", "choose another name")
    return text


def check_archive(values: dict[str, Any]) -> list[InvalidValue]:
    """Return the contradictions between the values of an extra archive."""
    errors = []
    if values.get("trusted") and values.get("key"):
        hint = "remove 'trusted' to verify the archive with the key"
        errors.append(InvalidValue("cannot combine 'key' and 'trusted'", hint, key="trusted"))
    if str(values.get("suite", "")).endswith("/") and "components" in values:
        message = "an archive whose suite ends in '/' has no components"
        errors.append(InvalidValue(message, "remove them", key="components"))
    return errors


def parse_excluded(text: str) -> str:
    """Return a pattern of ``exclude``; raises InvalidValue if it cannot match anything."""
    from pumice.formats.gitignore import matches_nothing

    if matches_nothing(text):
        raise InvalidValue(f"the pattern {text[:80]!r} cannot match any path", EXCLUDED.hint)
    return text


MAX_EXCLUDED = 1000
"""The number of patterns under ``exclude``."""


def check_recipe(values: dict[str, Any]) -> list[InvalidValue]:
    """Return the contradictions between the values of a recipe."""
    errors = check_users(values)
    if sum(len(rule.paths) for rule in values.get("exclude", ())) > MAX_EXCLUDED:
        message = f"'exclude' has more than {MAX_EXCLUDED} patterns"
        errors.append(InvalidValue(message, "use patterns that match more", key="exclude"))
    return errors


def check_users(values: dict[str, Any]) -> list[InvalidValue]:
    """Return the ids that two users or two groups of a recipe share."""
    errors = []
    for key, singular, field in (("users", "user", "uid"), ("groups", "group", "gid")):
        name_by_id: dict[int, str] = {}
        for item in values.get(key, ()):
            number = getattr(item, field)
            if number is None:
                continue
            if number in name_by_id:
                first = name_by_id[number]
                message = f"the {singular}s {first!r} and {item.name!r} have the same {field} {number}"
                errors.append(InvalidValue(message, "change one of them", key=key))
            else:
                name_by_id[number] = item.name
    return errors


def check_ports(values: dict[str, Any]) -> list[InvalidValue]:
    """Return the ports and volumes of ``run`` that are listed twice."""
    errors = []
    for key in ("ports", "volumes"):
        name_by_value: dict[str, str] = {}
        for name, value in values.get(key, {}).items():
            if value in name_by_value:
                message = f"{value} is listed twice, as {name_by_value[value]!r} and {name!r}"
                errors.append(InvalidValue(message, "remove one of them", key=key))
            name_by_value[value] = name
    return errors


_SOURCES = ("source", "text", "link", "directory")
_ONE_OF = "exactly one of 'from', 'text', 'link' and 'directory: true' is required"


def check_file(values: dict[str, Any]) -> list[InvalidValue]:
    """Return the contradictions between the values of one item of ``files``."""
    if values.get("directory") is False:
        return [InvalidValue("'directory' can only be true", "remove it", key="directory")]
    sources = [name for name in _SOURCES if name in values]
    if not sources:
        return [InvalidValue("the item has no source", _ONE_OF)]
    if len(sources) > 1:
        names = " and ".join(f"'{'from' if name == 'source' else name}'" for name in sources)
        return [InvalidValue(f"cannot combine {names}", _ONE_OF)]
    if values.get("ignore") and sources != ["source"]:
        return [InvalidValue("'ignore' requires 'from'", "remove it", key="ignore")]
    if sources == ["link"] and "mode" in values:
        return [InvalidValue("a link cannot have a mode", "remove it", key="mode")]
    if sources in (["text"], ["link"]) and str(values.get("to", "")).endswith("/"):
        return [
            InvalidValue(
                "'to' must name the file, not a directory", "add a file name after the last '/'", key="to"
            )
        ]
    return []


def check_permission(values: dict[str, Any]) -> list[InvalidValue]:
    """Return the error of an item of ``permissions`` that changes nothing."""
    if "mode" in values or "owner" in values:
        return []
    return [InvalidValue("the item has neither 'mode' nor 'owner'", "add one of them")]
