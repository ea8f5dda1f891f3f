"""The grammars of the texts in a recipe, each with the specification it comes from."""

from __future__ import annotations

from typing import Any

from pumice.errors import PumiceError
from pumice.formats import image_names
from pumice.recipe.kinds import Grammar, Refused
from pumice.recipe.model import Request

MAX_ID = (1 << 32) - 2
"""The highest user or group id: (uid_t) -1 stands for none in system calls."""

_USER = "[a-z_][a-z0-9_-]{0,31}"
# Printable ASCII without what begins a query or fragment, and for hosts without '/' and '@'.
_URL_TEXT = '[!-"$->@-~]'
_URL_HOST = '[!-"$-.0->A-~]+'
_PART = "[A-Za-z0-9][A-Za-z0-9.+~_-]*"

# Where OCI repository names (distribution-spec 1.1, "name") and App Container identifiers
# (appc 0.8.11, "AC Identifier Type") agree, so that an image has one name everywhere.
NAME = Grammar(
    "an image name",
    "[a-z0-9]+([._/-][a-z0-9]+)*",
    "lower-case letters and digits, with single '.', '_', '-' or '/' between them, as in example.com/hello",
    255,
)
# distribution-spec 1.1, "tag".
VERSION = Grammar(
    "a version that can be a tag",
    image_names.TAG,
    "letters, digits, '.', '_' and '-', at most 128 of them",
    128,
)
SUITE = Grammar("a suite", f"{_PART}(/{_PART})*", "a codename such as bookworm", 128)
ARCHIVE_SUITE = Grammar(
    "a suite",
    rf"\.?/|(\./)?({_PART}/)+|{_PART}(/{_PART})*",
    "a codename such as bookworm; of an archive without dists, its folder with a '/' at the end, or '/'",
    128,
)
COMPONENT = Grammar("a component", f"{_PART}(/{_PART})*", "a name such as main or contrib", 128)
ARCHIVE = Grammar(
    "an archive's name", "[a-z0-9]+([.-][a-z0-9]+)*", "lower-case letters, digits, '.' and '-'", 64
)
URL = Grammar(
    "a URL of an archive",
    f"https?://{_URL_HOST}(/{_URL_TEXT}*)?|file:(//)?/{_URL_TEXT}*",
    "it begins with https://, http:// or file:/ and names no user; passwords belong in apt's auth.conf",
)
SNAPSHOT = Grammar(
    "a URL template of a snapshot mirror",
    f"(https?://{_URL_HOST}/|file:(//)?/){_URL_TEXT}*[{{]date[}}]{_URL_TEXT}*",
    "a URL in which {date} stands for the lock's date, as in https://snapshot.example/{date}/debian",
)
# Debian Policy 5.6.1 and 5.6.12.
PACKAGE = Grammar("a package", "[a-z0-9][a-z0-9+.-]+", "lower-case letters, digits, '+', '-' and '.'", 128)
PACKAGE_VERSION = Grammar(
    "a package version", "([0-9]+:)?[0-9][A-Za-z0-9.+~:-]*", "for example 3.11.2-1+b1", 256
)
PACKAGE_PATTERN = Grammar(
    "a package or a pattern of names",
    r"[a-z0-9*][a-z0-9+.*-]*",
    "a name, in which '*' stands for anything, as in postgresql-*",
    128,
)
REQUEST = Grammar(
    "a package",
    r"-?[a-z0-9][a-z0-9+.-]+|[a-z0-9][a-z0-9+.-]+=([0-9]+:)?[0-9*][A-Za-z0-9.+~:*-]*"
    r"|\.\.?/([^\x00-\x1f\x7f]*/)?[^/\x00-\x1f\x7f]+\.deb",
    "write name, name=version, name=1.2.*, -name to exclude it, or ./file.deb",
)
PATH = Grammar(
    "an absolute path",
    r"/|(/(?!\.\.?(/|$))[^/\x00-\x1f\x7f]+)+",
    "it begins with '/', without '.', '..' or '//' in it and no '/' at its end",
)
TARGET = Grammar(
    "an absolute path",
    r"/|(/(?!\.\.?(/|$))[^/\x00-\x1f\x7f]+)+/?",
    "it begins with '/', without '.', '..' or '//' in it; a '/' at its end puts things into that folder",
)
SOURCE = Grammar(
    "a path in the recipe's folder",
    r"(?!/)(?!(.*/)?\.\.(/|$))[^\x00-\x1f\x7f]+",
    "a recipe takes files from its own folder and what lies below it",
)
FILE = Grammar("a path", r"[^\x00-\x1f\x7f]+", "a path relative to the recipe")
LINK = Grammar(
    "the target of a link", r"[^\x00-\x1f\x7f]+", "a path, relative to where the link is or absolute"
)
PATTERN = Grammar("a pattern", r"[^\x00-\x1f\x7f]+", "as in .gitignore: '*.pyc', '/build', 'tmp/'")
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
# appc 0.8.11, "environment"; wider than POSIX, which knows no '.' and '-'.
VARIABLE = Grammar(
    "a variable's name", "[A-Za-z_][A-Za-z0-9_.-]*", "letters, digits, '_', '.' and '-', no digit first", 256
)
# appc 0.8.11, "AC Name Type".
AC_NAME = Grammar(
    "a name", "[a-z0-9]+(-[a-z0-9]+)*", "lower-case letters and digits, with single '-' between them", 64
)
LABEL = Grammar(
    "a label's name", r"[^\s=\x00-\x1f\x7f]+", "no spaces and no '=', as in com.example.team", 256
)
PORT = Grammar("a port", "[0-9]{1,5}(/(tcp|udp))?", "a number from 1 to 65535, or with /udp behind it")
SIGNAL = Grammar("a signal", "SIG[A-Z]+[0-9]*([+-][0-9]+)?", "a name such as SIGTERM or SIGQUIT", 16)
ARCHITECTURE = Grammar(
    "an architecture", "[a-z0-9_-]+(/[a-z0-9_-]+){0,2}", "such as amd64, arm64 or riscv64", 32
)

# signal(7): what Linux has on every architecture.
_SIGNALS = frozenset(
    (
        *("HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "IOT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2"),
        *("PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG"),
        *("XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "POLL", "PWR", "SYS", "RTMIN", "RTMAX"),
    )
)


def request(text: str) -> Request:
    """Return what one line of ``packages`` asks for."""
    if text.endswith(".deb") and text.startswith(("./", "../")):
        return Request(name="", file=clean(text))
    if text.startswith("-"):
        return Request(name=text[1:], exclude=True)
    name, _, version = text.partition("=")
    return Request(name=name, version=version)


def request_name(text: str) -> str:
    """Return what makes two requests the same: the package's name or the file's path."""
    return text if text.startswith(".") else text.removeprefix("-").partition("=")[0]


def clean(path: str) -> str:
    """Return a relative path without ``.`` and ``//``; only leading ``..`` stay."""
    import posixpath

    return posixpath.normpath(path)


def architecture(text: str) -> str:
    """Return Debian's name for an architecture by any of its names."""
    from pumice.formats import platforms

    try:
        return platforms.to_debian(platforms.parse_platform(text))
    except PumiceError:
        raise Refused(
            f"{text!r} is no architecture that Pumice knows", "for example amd64, arm64, armhf or riscv64"
        ) from None


def port(text: str) -> str:
    """Return a port as ``NUMBER/tcp`` or ``NUMBER/udp``."""
    number, _, protocol = text.partition("/")
    if not 1 <= int(number) <= 65535:
        raise Refused(f"{number} is not a port", PORT.hint)
    return f"{int(number)}/{protocol or 'tcp'}"


def stop_signal(text: str) -> str:
    """Return a signal's name."""
    name = text.removeprefix("SIG").partition("+")[0].partition("-")[0]
    if name not in _SIGNALS or (text != "SIG" + name and name not in ("RTMIN", "RTMAX")):
        raise Refused(f"{text!r} is not a signal", SIGNAL.hint)
    return text


def owner(text: str) -> str:
    """Return ``user[:group]`` whose numbers are ids."""
    for part in text.split(":"):
        if part.isdigit() and int(part) > MAX_ID:
            raise Refused(f"the id {part} is higher than {MAX_ID}", OWNER.hint)
    return text


def archive_suite(text: str) -> str:
    """Return the suite of an extra archive; that of a flat one ends in ``/``, and is ``/`` for its root."""
    return text.removeprefix("./") or "/"


def archive_name(text: str) -> str:
    """Return the name of an extra archive."""
    if text in ("debian", "debian-security"):
        raise Refused(f"{text!r} is the name of the distribution's own archive", "choose another name")
    return text


def check_archive(values: dict[str, Any]) -> list[Refused]:
    """Return what does not fit together in an extra archive."""
    found = []
    if values.get("trusted") and values.get("key"):
        hint = "keep the key: then the archive is checked with it"
        found.append(Refused("'key' and 'trusted' do not go together", hint, key="trusted"))
    if str(values.get("suite", "")).endswith("/") and "components" in values:
        message = "an archive whose suite ends in '/' has no components"
        found.append(Refused(message, "remove them", key="components"))
    return found


def check_users(values: dict[str, Any]) -> list[Refused]:
    """Return what is wrong with the users and groups of a recipe taken together."""
    found = []
    for key, singular, number in (("users", "user", "uid"), ("groups", "group", "gid")):
        seen: dict[int, str] = {}
        for item in values.get(key, ()):
            given = getattr(item, number)
            if given is not None and given in seen:
                message = f"the {singular}s {seen[given]!r} and {item.name!r} have the same {number} {given}"
                found.append(Refused(message, "give one of them another", key=key))
            elif given is not None:
                seen[given] = item.name
    return found


def check_ports(values: dict[str, Any]) -> list[Refused]:
    """Return what is wrong with the ports and volumes of ``run`` taken together."""
    found = []
    for key in ("ports", "volumes"):
        seen: dict[str, str] = {}
        for name, value in values.get(key, {}).items():
            if value in seen:
                message = f"{value} is there twice, as {seen[value]!r} and {name!r}"
                found.append(Refused(message, "one name is enough", key=key))
            seen[value] = name
    return found


_SOURCES = ("source", "text", "link", "directory")
_ONE_OF = "exactly one of 'from', 'text', 'link' and 'directory: true' says what it is"


def check_file(values: dict[str, Any]) -> list[Refused]:
    """Return what does not fit together in one item of ``files``."""
    if values.get("directory") is False:
        return [Refused("'directory' can only be true", "leave it out", key="directory")]
    given = [name for name in _SOURCES if name in values]
    if not given:
        return [Refused("the item does not say what to put there", _ONE_OF)]
    if len(given) > 1:
        words = " and ".join(f"'{'from' if name == 'source' else name}'" for name in given)
        return [Refused(f"{words} do not go together", _ONE_OF)]
    if values.get("ignore") and given != ["source"]:
        return [Refused("'ignore' goes with 'from' only", "remove it", key="ignore")]
    if given == ["link"] and "mode" in values:
        return [Refused("a link has no mode of its own", "remove it", key="mode")]
    if given in (["text"], ["link"]) and str(values.get("to", "")).endswith("/"):
        return [
            Refused("'to' must name the file, not a folder", "write a name behind the last '/'", key="to")
        ]
    return []
