"""Tests in the format of container-structure-test, schema version 2.0.0.

https://github.com/GoogleContainerTools/container-structure-test documents the keys.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pumice.recipe import grammar
from pumice.recipe.image_test_keys import parse_pattern
from pumice.recipe.image_tests import ConfigCheck, FileCheck, ImageTest, OutputRule
from pumice.recipe.kinds import Choice, Flag, Grammar, Integer, Key, ListOf, Table, Text

VERSION_KEY = "schemaVersion"


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """A variable or label; with ``is_pattern``, the value is a regular expression."""

    key: str
    value: str
    is_pattern: bool = False


class CommandTest(msgspec.Struct, frozen=True, kw_only=True):
    """A command and its expected output."""

    name: str
    command: str
    args: tuple[str, ...] = ()
    setup: tuple[tuple[str, ...], ...] = ()
    teardown: tuple[tuple[str, ...], ...] = ()
    variables: tuple[Variable, ...] = ()
    exit_code: int = 0
    output: tuple[str, ...] = ()
    excluded_output: tuple[str, ...] = ()
    error: tuple[str, ...] = ()
    excluded_error: tuple[str, ...] = ()
    where: str = ""


class ExistenceTest(msgspec.Struct, frozen=True, kw_only=True):
    """A file and its properties."""

    name: str
    path: str
    exists: bool = True
    permissions: str = ""
    uid: int | None = None
    gid: int | None = None
    executable_by: str = ""
    where: str = ""


class ContentTest(msgspec.Struct, frozen=True, kw_only=True):
    """A file and its content."""

    name: str
    path: str
    expected: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    where: str = ""


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """The expected config of the image."""

    variables: tuple[Variable, ...] = ()
    labels: tuple[Variable, ...] = ()
    ports: tuple[str, ...] = ()
    absent_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    absent_volumes: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    directory: str | None = None
    user: str | None = None
    where: str = ""


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options for all commands."""

    user: str = ""


class StructureTests(msgspec.Struct, frozen=True, kw_only=True):
    """A whole file."""

    version: str
    variables: tuple[Variable, ...] = ()
    commands: tuple[CommandTest, ...] = ()
    existence: tuple[ExistenceTest, ...] = ()
    contents: tuple[ContentTest, ...] = ()
    metadata: Metadata | None = None
    run_options: RunOptions = RunOptions()


_ANY = Text(loose=True, allows_empty=True)
_NAME = Text(loose=True)
_WORDS = ListOf(_ANY)
_COMMANDS = ListOf(ListOf(_ANY, min_length=1))
_PATTERNS = ListOf(Text(parse=parse_pattern, loose=True))
_PATH = Text(Grammar("an absolute path", r"/[^\x00-\x1f\x7f]*", "start with '/'"))
_PERMISSIONS = Grammar(
    "a mode", "[A-Za-z-]{1,12}[rwxstST-]{0,9}", "as ls -l shows it, such as -rw-r--r--", 24
)
_ID = Integer(0, grammar.MAX_ID)

_VARIABLE = Table(
    Variable,
    (
        Key("key", Text(loose=True), "The name.", "LANG", True),
        Key("value", _ANY, "The value.", "C.UTF-8", True),
        Key("isRegex", Flag(), "Whether the value is a regular expression.", "true", field="is_pattern"),
    ),
)
_VARIABLES = ListOf(_VARIABLE)

_COMMAND_TEST = Table(
    CommandTest,
    (
        Key("name", _NAME, "The name of the test.", "version", True),
        Key("setup", _COMMANDS, "Commands to run before.", "[[mkdir, /tmp/x]]"),
        Key("teardown", _COMMANDS, "Commands to run after; not run, the container is gone.", "[[rm, /x]]"),
        Key("command", _ANY, "The program.", "python3", True),
        Key("args", _WORDS, "Its arguments.", "[--version]"),
        Key("envVars", _VARIABLES, "Variables to set.", "[{key: A, value: b}]", field="variables"),
        Key("exitCode", Integer(0, 255), "The exit code.", "0", field="exit_code"),
        Key("expectedOutput", _PATTERNS, "Patterns of the output.", "[hello]", field="output"),
        Key("excludedOutput", _PATTERNS, "Patterns not in the output.", "[x]", field="excluded_output"),
        Key("expectedError", _PATTERNS, "Patterns of the standard error.", "[x]", field="error"),
        Key("excludedError", _PATTERNS, "Patterns not in it.", "[x]", field="excluded_error"),
    ),
)

_EXISTENCE_TEST = Table(
    ExistenceTest,
    (
        Key("name", _NAME, "The name of the test.", "config", True),
        Key("path", _PATH, "The path.", "/etc/app.conf", True),
        Key("shouldExist", Flag(), "Whether it exists.", "true", field="exists"),
        Key("permissions", Text(_PERMISSIONS), "The mode.", "-rw-r--r--"),
        Key("uid", _ID, "The user id.", "0"),
        Key("gid", _ID, "The group id.", "0"),
        Key(
            "isExecutableBy",
            Choice(("owner", "group", "other", "any")),
            "Who may execute it.",
            "any",
            field="executable_by",
        ),
    ),
)

_CONTENT_TEST = Table(
    ContentTest,
    (
        Key("name", _NAME, "The name of the test.", "sources", True),
        Key("path", _PATH, "The path.", "/etc/app.conf", True),
        Key("expectedContents", _PATTERNS, "Patterns of the content.", "[x]", field="expected"),
        Key("excludedContents", _PATTERNS, "Patterns not in it.", "[x]", field="excluded"),
    ),
)

_PORTS = ListOf(Text(grammar.PORT, grammar.parse_port, loose=True))
_METADATA = Table(
    Metadata,
    (
        Key("envVars", _VARIABLES, "Variables.", "[{key: A, value: b}]", field="variables"),
        Key("labels", _VARIABLES, "Labels.", "[{key: a, value: b}]"),
        Key("exposedPorts", _PORTS, "Exposed ports.", '["8080"]', field="ports"),
        Key("unexposedPorts", _PORTS, "Ports that are not exposed.", '["22"]', field="absent_ports"),
        Key("volumes", ListOf(_ANY), "Volumes.", "[/data]"),
        Key("unmountedVolumes", ListOf(_ANY), "Paths that are not volumes.", "[/x]", field="absent_volumes"),
        Key("entrypoint", _WORDS, "The entrypoint.", "[/app]"),
        Key("cmd", _WORDS, "The command.", "[--help]"),
        Key("workdir", _ANY, "The working directory.", "/srv", field="directory"),
        Key("user", _ANY, "The user.", "nobody"),
    ),
)

_UNSUPPORTED = "only 'user' is supported"
STRUCTURE_TESTS = Table(
    StructureTests,
    (
        Key(VERSION_KEY, Choice(("2.0.0",)), "The version of the format.", "2.0.0", True, "version"),
        Key(
            "globalEnvVars",
            _VARIABLES,
            "Variables for all commands.",
            "[{key: A, value: b}]",
            False,
            "variables",
        ),
        Key("commandTests", ListOf(_COMMAND_TEST), "Commands.", "[]", field="commands"),
        Key("fileExistenceTests", ListOf(_EXISTENCE_TEST), "Files.", "[]", field="existence"),
        Key("fileContentTests", ListOf(_CONTENT_TEST), "Contents of files.", "[]", field="contents"),
        Key("metadataTest", _METADATA, "The config of the image.", "{user: nobody}", field="metadata"),
        Key(
            "containerRunOptions",
            Table(
                RunOptions,
                (Key("user", Text(loose=True), "The user of the commands.", "root"),),
                reserved=tuple(
                    (name, f"{name!r} is not supported", _UNSUPPORTED)
                    for name in (
                        "privileged",
                        "allocateTty",
                        "envFile",
                        "envVars",
                        "capabilities",
                        "bindMounts",
                    )
                ),
            ),
            "Options for all commands.",
            "{user: root}",
            field="run_options",
        ),
    ),
    reserved=(
        (
            "licenseTests",
            "license tests are not supported",
            "remove them; 'pumice licenses' checks licenses against a policy",
        ),
    ),
)


def to_image_tests(structure: StructureTests) -> tuple[ImageTest, ...]:
    """Return the tests of a file, in its order of kinds."""
    tests = [_command(test, structure) for test in structure.commands]
    tests += [_existence(test) for test in structure.existence]
    tests += [_content(test) for test in structure.contents]
    if structure.metadata:
        tests.append(_metadata(structure.metadata))
    return tuple(tests)


def _command(test: CommandTest, structure: StructureTests) -> ImageTest:
    return ImageTest(
        name=test.name,
        command=(test.command, *test.args),
        setup=test.setup,
        environment={item.key: item.value for item in (*structure.variables, *test.variables)},
        expands_variables=True,
        user=structure.run_options.user,
        exit_code=test.exit_code,
        stdout=_patterns(test.output, test.excluded_output),
        stderr=_patterns(test.error, test.excluded_error),
        where=test.where,
    )


def _patterns(expected: tuple[str, ...], excluded: tuple[str, ...]) -> OutputRule | None:
    if not expected and not excluded:
        return None
    return OutputRule(matches=expected, not_matches=excluded, multiline=False)


def _existence(test: ExistenceTest) -> ImageTest:
    check = FileCheck(
        path=test.path,
        exists=test.exists,
        permissions=test.permissions,
        uid=test.uid,
        gid=test.gid,
        executable_by=test.executable_by,
    )
    return ImageTest(name=test.name, file=(check,), where=test.where)


def _content(test: ContentTest) -> ImageTest:
    check = FileCheck(path=test.path, content=_patterns(test.expected, test.excluded))
    return ImageTest(name=test.name, file=(check,), where=test.where)


def _metadata(metadata: Metadata) -> ImageTest:
    check = ConfigCheck(
        user=metadata.user or None,
        command=metadata.entrypoint,
        arguments=metadata.cmd,
        directory=metadata.directory or None,
        **_split("environment", metadata.variables),
        **_split("label", metadata.labels),
        ports=metadata.ports,
        absent_ports=metadata.absent_ports,
        volumes=metadata.volumes,
        absent_volumes=metadata.absent_volumes,
    )
    return ImageTest(name="metadata", image=check, where=metadata.where)


def _split(name: str, variables: tuple[Variable, ...]) -> dict[str, Any]:
    plain = "labels" if name == "label" else name
    return {
        plain: {item.key: item.value for item in variables if not item.is_pattern},
        f"{name}_patterns": {item.key: item.value for item in variables if item.is_pattern},
    }
