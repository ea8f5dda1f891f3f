"""The table of the keys of `tests`, in a recipe and in a file of tests."""

from __future__ import annotations

import re
from typing import Any, get_args

import msgspec

from pumice.recipe import grammar
from pumice.recipe.image_tests import (
    ConfigCheck,
    FileCheck,
    FileKind,
    HttpCheck,
    ImageTest,
    Network,
    OutputRule,
    TcpCheck,
)
from pumice.recipe.kinds import (
    Choice,
    Duration,
    Flag,
    Grammar,
    Integer,
    InvalidValue,
    Key,
    ListOf,
    MapOf,
    Mode,
    Table,
    Text,
)

_MAX_PATTERN = 4096
_ANY = Text(loose=True, allows_empty=True)
_DATA = Text(loose=True, allows_empty=True, allows_nul=True)
_METHOD = Grammar("an HTTP method", "[A-Z]{1,16}", "such as GET or POST", 16)
_URL_PATH = Grammar("a path of a URL", "/[!-~]*", "start with '/', without spaces")
_HEADER = Grammar("a header's name", "[!#$%&'*+.^_`|~0-9A-Za-z-]+", "such as Content-Type", 256)
_HEADER_VALUE = Grammar("a header's value", r"[^\x00-\x08\x0a-\x1f\x7f]*", "one line", 8192)
_COMMAND = ListOf(_ANY, single=True, merge="replace", min_length=1)


def parse_pattern(text: str) -> str:
    """Return a regular expression; raises InvalidValue if it is not valid."""
    if len(text) > _MAX_PATTERN:
        raise InvalidValue("the regular expression is too long", f"at most {_MAX_PATTERN} characters")
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise InvalidValue(
            f"{text[:80]!r} is not a regular expression: {error}", "use the syntax of Python's re module"
        ) from None
    return text


_TEXTS = ListOf(Text(loose=True, allows_nul=True), single=True)
_PATTERNS = ListOf(Text(parse=parse_pattern, loose=True), single=True)

OUTPUT = Table(
    OutputRule,
    (
        Key("equals", _DATA, "The exact text.", '"hello\\n"'),
        Key("contains", _TEXTS, "Texts that are in it.", "[hello]"),
        Key("matches", _PATTERNS, "Regular expressions that match in it.", "['^version 1\\.']"),
        Key("not_contains", _TEXTS, "Texts that are not in it.", "[error]"),
        Key("not_matches", _PATTERNS, "Regular expressions that match nowhere in it.", "['(?i)warning']"),
    ),
    lambda values: [] if values else [InvalidValue("nothing is expected", "for example: contains: hello")],
)

_PORT = Key("port", Integer(1, 65535), "The port (default: the only one that the image exposes).", "8080")

HTTP = Table(
    HttpCheck,
    (
        _PORT,
        Key("method", Text(_METHOD), "The method of the request.", "POST"),
        Key("path", Text(_URL_PATH), "The path and query of the request.", "/status?full=1"),
        Key(
            "headers",
            MapOf(Text(_HEADER), Text(_HEADER_VALUE, loose=True, allows_empty=True)),
            "Headers of the request.",
            "{Accept: text/html}",
        ),
        Key("send", _DATA, "The body of the request.", '"name=value"'),
        Key("status", Integer(100, 599), "The status of the response (default: 200).", "404"),
        Key(
            "response_headers",
            MapOf(Text(_HEADER), Text(_HEADER_VALUE, loose=True, allows_empty=True)),
            "Headers of the response, with their exact values.",
            "{Content-Type: text/html}",
        ),
        Key("body", OUTPUT, "The body of the response.", "{contains: Welcome}"),
    ),
)

TCP = Table(
    TcpCheck,
    (
        _PORT,
        Key("send", _DATA, "What to send.", '"PING\\r\\n"'),
        Key("receive", OUTPUT, "What to receive.", "{contains: PONG}"),
    ),
)


def _check_file(values: dict[str, Any]) -> list[InvalidValue]:
    if values.get("exists") is False and len(values) > 2:
        return [InvalidValue("a file that must not exist cannot have other properties", "remove them")]
    return []


FILE_CHECK = Table(
    FileCheck,
    (
        Key("path", Text(grammar.PATH), "The path in the image.", "/etc/app.conf", True),
        Key("exists", Flag(), "Whether it exists (default: true).", "false"),
        Key("type", Choice(get_args(FileKind)), "What it is.", "directory", field="kind"),
        Key("mode", Mode(), "Its permission bits in octal.", '"0644"'),
        Key(
            "owner",
            Text(grammar.OWNER, grammar.parse_owner, loose=True),
            "`user` or `user:group`, names of the image or numbers.",
            "root:root",
        ),
        Key("link", Text(grammar.LINK), "The target of the symbolic link.", "/usr/bin/dash"),
        Key("content", OUTPUT, "The content of the file.", "{contains: port = 8080}"),
    ),
    _check_file,
)

_VALUES = MapOf(Text(grammar.LABEL, loose=True), _ANY)

CONFIG = Table(
    ConfigCheck,
    (
        Key("user", Text(loose=True, allows_empty=True), "The user, as in the config.", "nonroot"),
        Key("command", ListOf(_ANY, single=True), "The command (OCI: Entrypoint).", "[/usr/sbin/nginx]"),
        Key("arguments", ListOf(_ANY, single=True), "The default arguments (OCI: Cmd).", "[-g, daemon off;]"),
        Key("directory", Text(allows_empty=True), "The working directory.", "/srv"),
        Key("environment", _VALUES, "Environment variables.", "{LANG: C.UTF-8}"),
        Key("labels", _VALUES, "Labels.", "{com.example.team: web}"),
        Key(
            "ports",
            ListOf(Text(grammar.PORT, grammar.parse_port, loose=True), single=True),
            "Ports that it exposes.",
            "[8080, 53/udp]",
        ),
        Key("volumes", ListOf(Text(grammar.PATH), single=True), "Volumes that it declares.", "[/data]"),
    ),
)

_NOTHING = "add 'command', 'arguments', 'exit_code', 'stdout', 'stderr', 'http', 'tcp', 'file' or 'image'"


def check_test(values: dict[str, Any]) -> list[InvalidValue]:
    """Return the contradictions between the values of a test."""
    values = {name: value for name, value in values.items() if name != "where"}
    test = msgspec.structs.replace(ImageTest(), **values)
    if not (test.runs_program or test.file or test.image):
        return [InvalidValue("the test checks nothing", _NOTHING)]
    if test.is_server and test.input:
        return [InvalidValue("cannot combine 'input' and a check of a port", "use 'send'", key="input")]
    if test.command and test.arguments:
        hint = "add the arguments to 'command', or remove it to run the image's own command"
        return [InvalidValue("cannot combine 'command' and 'arguments'", hint, key="arguments")]
    return []


TEST = Table(
    ImageTest,
    (
        Key("name", Text(loose=True), "What the test shows, in a few words.", "prints its version"),
        Key(
            "command",
            _COMMAND,
            "A program and its arguments to run instead of the image's command.",
            "[/usr/bin/app, --version]",
        ),
        Key("arguments", ListOf(_ANY, merge="replace"), "Arguments for the image's command.", "[--version]"),
        Key("input", _DATA, "The standard input of the program.", '"1 + 1\\n"'),
        Key(
            "environment",
            MapOf(Text(grammar.VARIABLE, loose=True), _ANY),
            "Environment variables to set.",
            "{DEBUG: 1}",
        ),
        Key(
            "user",
            Text(grammar.OWNER, grammar.parse_owner, loose=True),
            "The user of the program: `user` or `user:group`.",
            "root",
        ),
        Key("directory", Text(grammar.PATH), "The working directory of the program.", "/srv"),
        Key(
            "setup",
            ListOf(ListOf(_ANY, min_length=1)),
            "Commands to run before, in the same container.",
            "[[/bin/mkdir, /tmp/data]]",
        ),
        Key(
            "network",
            Choice(get_args(Network)),
            "The network of the program: none but loopback, or the host's.",
            "host",
        ),
        Key("timeout", Duration(), "The longest time that the test may take.", "10s"),
        Key("exit_code", Integer(0, 255), "The exit code of the program (default: 0).", "1"),
        Key("stdout", OUTPUT, "The standard output of the program.", "{contains: hello}"),
        Key("stderr", OUTPUT, "The standard error of the program.", '{equals: ""}'),
        Key("http", ListOf(HTTP, single=True), "HTTP requests to the started program.", "{path: /}"),
        Key("tcp", ListOf(TCP, single=True), "Connections to the started program.", "{port: 6379}"),
        Key("file", ListOf(FILE_CHECK, single=True), "Files of the image.", "{path: /bin/sh, exists: false}"),
        Key("image", CONFIG, "The config of the image.", "{user: nonroot}"),
    ),
    check_test,
)

TESTS = ListOf(TEST, identity="name")
