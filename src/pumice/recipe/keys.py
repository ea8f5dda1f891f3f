"""The table of all keys of a recipe: loading, `extend`, `show`, the schema and the docs follow it."""

from __future__ import annotations

from pumice.recipe import grammar, model
from pumice.recipe.build_keys import ANY_TEXT, CHECKS, COMMAND, EXCLUDE, GENERATE, PYTHON, SLICES
from pumice.recipe.image_test_keys import TESTS
from pumice.recipe.kinds import (
    Choice,
    Duration,
    Flag,
    Integer,
    Key,
    ListOf,
    MapOf,
    Mode,
    Table,
    Text,
    TextOrTable,
)
from pumice.recipe.source_keys import ORIGIN

FILE = Table(
    model.FileRule,
    (
        Key(
            "from",
            Text(grammar.SOURCE, loose=True),
            "A file, directory or glob in the directory of the recipe file with this rule.",
            "app",
            field="source",
        ),
        Key("text", Text(loose=True, allows_empty=True), "The content of the file.", '"hello\\n"'),
        Key(
            "link",
            Text(grammar.LINK, loose=True),
            "Create a symbolic link with this target.",
            "/usr/bin/busybox",
        ),
        Key("directory", Flag(), "Create an empty directory.", "true"),
        Key(
            "to",
            Text(grammar.TARGET),
            "The path in the image; with `/` at the end, the directory to copy into.",
            "/app",
            True,
        ),
        Key("mode", Mode(), "Permission bits in octal.", '"0755"'),
        Key(
            "owner",
            Text(grammar.OWNER, grammar.parse_owner, loose=True),
            "`user` or `user:group`, names or numbers.",
            "nonroot",
        ),
        Key(
            "ignore",
            ListOf(Text(grammar.PATTERN)),
            "What to leave out of a directory or glob, in the syntax of .gitignore.",
            '["__pycache__/", "*.pyc"]',
        ),
    ),
    grammar.check_file,
)

PERMISSION = Table(
    model.PermissionRule,
    (
        Key("path", Text(grammar.PATH), "A path in the image, or a glob.", "/usr/bin/ping", True),
        Key("mode", Mode(), "Permission bits in octal.", '"0750"'),
        Key(
            "owner",
            Text(grammar.OWNER, grammar.parse_owner, loose=True),
            "`user` or `user:group`, names or numbers.",
            "root:tty",
        ),
    ),
    grammar.check_permission,
)

USER = Table(
    model.User,
    (
        Key("name", Text(grammar.USER), "The user's name.", "app", True),
        Key(
            "uid",
            Integer(0, grammar.MAX_ID),
            "Its id; without it, one is allocated and stored in the lock.",
            "1000",
        ),
        Key(
            "group",
            Text(grammar.GROUP_OR_ID, grammar.parse_owner, loose=True),
            "Its primary group (default: a group of the same name).",
            "app",
        ),
        Key("groups", ListOf(Text(grammar.GROUP), identity="value"), "Further groups.", "[tty]"),
        Key("home", Text(grammar.PATH), "Its home directory.", "/home/app"),
        Key("shell", Text(grammar.PATH), "Its login shell.", "/bin/sh"),
        Key(
            "comment",
            Text(grammar.COMMENT, loose=True, allows_empty=True),
            "Its full name.",
            "The application",
        ),
    ),
)

GROUP = Table(
    model.Group,
    (
        Key("name", Text(grammar.GROUP), "The group's name.", "app", True),
        Key(
            "gid",
            Integer(0, grammar.MAX_ID),
            "Its id; without it, one is allocated and stored in the lock.",
            "1000",
        ),
    ),
)

HEALTH = Table(
    model.HealthCheck,
    (
        Key(
            "command",
            COMMAND,
            "The command to run; exit code 0 means healthy.",
            "[/usr/bin/curl, -f, http://localhost/]",
            True,
        ),
        Key("interval", Duration(), "The time between two checks.", "30s"),
        Key("timeout", Duration(), "The longest time that a check may take.", "5s"),
        Key("start_period", Duration(), "The time after the start in which failures do not count.", "1m"),
        Key("retries", Integer(1, 1000), "The number of failures in a row that mean unhealthy.", "3"),
    ),
)

RUN = Table(
    model.Run,
    (
        Key(
            "user",
            Text(grammar.OWNER, grammar.parse_owner, loose=True),
            "The user of the process: `user` or `user:group`.",
            "nonroot",
        ),
        Key(
            "command",
            COMMAND,
            "The program and its fixed arguments (OCI: Entrypoint).",
            "[/usr/bin/python3, /app/hello.py]",
        ),
        Key(
            "arguments",
            ListOf(ANY_TEXT, merge="replace"),
            "Default arguments, replaced by those of `pumice run` (OCI: Cmd).",
            "[--verbose]",
        ),
        Key("directory", Text(grammar.PATH), "The working directory.", "/app"),
        Key(
            "ports",
            MapOf(Text(grammar.AC_NAME, loose=True), Text(grammar.PORT, grammar.parse_port, loose=True)),
            "The names and numbers of the ports that it listens on.",
            "{http: 8080, dns: 53/udp}",
        ),
        Key(
            "volumes",
            MapOf(Text(grammar.AC_NAME, loose=True), Text(grammar.PATH)),
            "The names and paths of the directories that hold its data.",
            "{data: /var/lib/app}",
        ),
        Key(
            "stop_signal",
            Text(grammar.SIGNAL, grammar.parse_signal),
            "The signal that stops it.",
            "SIGTERM",
        ),
        Key("health", HEALTH, "The health check.", "{command: [/app/health], interval: 30s}"),
    ),
    grammar.check_ports,
)

PACKAGE_VERSION = Table(
    model.PackageVersion,
    (Key("package", Text(grammar.PACKAGE), "The package whose version it is.", "postgresql-15", True),),
)

_TEXTS = MapOf(Text(grammar.LABEL, loose=True), ANY_TEXT)

RECIPE = Table(
    model.Recipe,
    (
        Key(
            "extend",
            ListOf(Text(grammar.FILE), single=True),
            "The recipes that this one extends, paths relative to it.",
            "base.yaml",
            field="-",
        ),
        Key(
            "args",
            MapOf(Text(grammar.ARGUMENT), ANY_TEXT, optional=True),
            "Arguments and their defaults; `${NAME}` in a value is replaced, `--arg NAME=VALUE` sets it.",
            '{VERSION: "1.2"}',
        ),
        Key("name", Text(grammar.NAME, loose=True), "The image's name.", "example.com/hello", True),
        Key(
            "version",
            TextOrTable(
                Text(grammar.VERSION, loose=True), PACKAGE_VERSION, "version_from", model.UNRESOLVED_VERSION
            ),
            "The version of the image, which is also its tag, or `{package: NAME}`: that of a package.",
            '"1.0"',
            True,
        ),
        Key(
            "description",
            Text(loose=True, allows_empty=True),
            "A description in one sentence.",
            "A small web page",
        ),
        Key("labels", _TEXTS, "Labels for the image's config.", "{com.example.team: web}"),
        Key(
            "annotations",
            _TEXTS,
            "Annotations for the image's manifest.",
            "{org.opencontainers.image.source: https://code.example/hello}",
        ),
        Key(
            "from", ORIGIN, "The distribution to install packages from.", "{debian: bookworm}", True, "origin"
        ),
        Key("base", Choice(("data", "essential", "none")), "What to install besides the packages.", "data"),
        Key("recommends", Flag(), "Install recommended packages too.", "true"),
        Key(
            "packages",
            ListOf(
                Text(grammar.REQUEST, grammar.parse_request, loose=True, path="dotted"), identity="package"
            ),
            "The packages to install, with their dependencies, and slices of packages.",
            "[python3, ca-certificates]",
        ),
        Key(
            "slices",
            SLICES,
            "Where the slices in `packages`, such as `openssl_bins`, are defined.",
            "{release: ./chisel-releases, overlay: [slices]}",
        ),
        Key("files", ListOf(FILE), "Your own files, links and directories.", "[{from: app, to: /app}]"),
        Key(
            "permissions",
            ListOf(PERMISSION),
            "Other modes and owners for files of packages.",
            '[{path: /usr/bin/ping, mode: "0750"}]',
        ),
        Key("users", ListOf(USER, identity="name"), "Users to add.", "[{name: app, uid: 1000}]"),
        Key("groups", ListOf(GROUP, identity="name"), "Groups to add.", "[{name: app, gid: 1000}]"),
        Key(
            "environment",
            MapOf(Text(grammar.VARIABLE, loose=True), ANY_TEXT),
            "Environment variables.",
            "{LANG: C.UTF-8}",
        ),
        Key(
            "run",
            RUN,
            "The process: program, user and directory.",
            "{user: nonroot, command: [/usr/bin/python3]}",
        ),
        Key(
            "archs",
            ListOf(
                Text(grammar.ARCHITECTURE, grammar.parse_architecture, loose=True),
                identity="value",
                min_length=1,
            ),
            "The architectures to build for (default: that of this machine).",
            "[amd64, arm64]",
        ),
        Key(
            "layers",
            Choice(("auto", "packages", "single")),
            "How packages are distributed over layers.",
            "auto",
        ),
        Key(
            "include",
            ListOf(Choice(("docs", "man", "info", "locales", "lintian")), identity="value"),
            "What to keep that is left out by default.",
            "[locales]",
        ),
        Key(
            "exclude",
            ListOf(EXCLUDE),
            "What to leave out of packages, in the syntax of .gitignore; `include` takes precedence.",
            '["/usr/lib/x86_64-linux-gnu/gconv/"]',
        ),
        Key(
            "keep",
            ListOf(Text(grammar.PACKAGE), single=True, identity="value"),
            "Packages to keep although only package scripts use them; `all` keeps all of them.",
            "[dpkg]",
        ),
        Key(
            "without",
            ListOf(Text(grammar.PACKAGE), single=True, identity="value"),
            "Packages to give up although programs use them: names, or `perl` and `llvm` for all of theirs.",
            "[perl]",
        ),
        Key("python", PYTHON, "Options for Python.", "{bytecode: true}"),
        Key(
            "generate",
            ListOf(GENERATE),
            "Programs of the image to run at build; the files that they write become part of it.",
            "[[/usr/bin/dot, -c]]",
        ),
        Key(
            "scripts",
            Choice(("effects", "sandbox")),
            "Whether to replace package scripts by effects, or to run them in the sandbox as well.",
            "effects",
        ),
        Key(
            "checks",
            CHECKS,
            "Options for the checks of the image.",
            '{ignore: [{check: shell, reason: "never runs a shell"}]}',
        ),
        Key("tests", TESTS, "Tests for `pumice test`.", "[{arguments: [--version]}]"),
    ),
    grammar.check_recipe,
)
