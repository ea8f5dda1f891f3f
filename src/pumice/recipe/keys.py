"""Every key of a recipe: the one table that loading, `extend`, `show`, the schema and the docs go by."""

from __future__ import annotations

from pumice.recipe import grammar, model
from pumice.recipe.kinds import Choice, Duration, Flag, Integer, Key, ListOf, MapOf, Mode, Table, Text

_ANY = Text(loose=True, allows_empty=True)
_COMMAND = ListOf(_ANY, single=True, merge="replace", min_length=1)

ARCHIVE = Table(
    model.ExtraArchive,
    (
        Key(
            "name",
            Text(grammar.ARCHIVE, grammar.parse_archive_name),
            "What locks and messages call it.",
            "tools",
            True,
        ),
        Key(
            "url",
            Text(grammar.URL),
            "Where its `dists` folder is found, or the archive itself if it has none.",
            "https://mirror.example/tools",
            True,
        ),
        Key(
            "suite",
            Text(grammar.ARCHIVE_SUITE, grammar.parse_archive_suite),
            "The suite to use; for an archive without `dists` its folder, with `/` at the end.",
            "bookworm",
            True,
        ),
        Key(
            "components",
            ListOf(Text(grammar.COMPONENT), identity="value", min_length=1),
            "The components to use.",
            "[main]",
        ),
        Key(
            "key",
            Text(grammar.FILE, path="always"),
            "Its OpenPGP keyring, a path relative to the recipe or absolute.",
            "keys/tools.asc",
        ),
        Key("trusted", Flag(), "Take it without any signature.", "true"),
        Key(
            "packages",
            ListOf(Text(grammar.PACKAGE_PATTERN), identity="value", min_length=1),
            "The only packages to take from it, also as dependencies and in place of Debian's.",
            '[libpq5, "postgresql-*"]',
        ),
        Key(
            "priority",
            Integer(1, 1000),
            "What its packages count for beside Debian's 500, as with apt's pins.",
            "500",
        ),
    ),
    grammar.check_archive,
)

ORIGIN = Table(
    model.Origin,
    (
        Key("debian", Text(grammar.SUITE, loose=True), "The suite, by its codename.", "bookworm", True),
        Key(
            "mirrors",
            ListOf(Text(grammar.URL), identity="value"),
            "Mirrors of the archive, tried in turn.",
            "[https://mirror.example/debian]",
        ),
        Key(
            "security_mirrors",
            ListOf(Text(grammar.URL), identity="value"),
            "Mirrors of the security archive, tried in turn.",
            "[https://mirror.example/debian-security]",
        ),
        Key(
            "snapshots",
            ListOf(Text(grammar.SNAPSHOT), identity="value"),
            "URL templates of snapshot mirrors; `{date}` stands for the lock's date.",
            '["https://snapshot.example/{date}/debian"]',
        ),
        Key(
            "components",
            ListOf(Text(grammar.COMPONENT), identity="value", min_length=1),
            "The components to use.",
            "[main, contrib]",
        ),
        Key(
            "keyrings",
            ListOf(Text(grammar.FILE, path="always"), identity="value"),
            "OpenPGP keyrings to verify with, paths relative to the recipe or absolute.",
            "[keys/archive.asc]",
        ),
        Key(
            "suites",
            ListOf(Text(grammar.SUITE), identity="value"),
            "The suites to use in place of release, updates and security.",
            "[bookworm, bookworm-backports]",
        ),
        Key(
            "archives",
            ListOf(ARCHIVE, identity="name"),
            "Other archives of Debian's shape, used beside it.",
            "[{name: tools, url: https://mirror.example/tools, suite: bookworm, key: keys/tools.asc}]",
        ),
    ),
)

FILE = Table(
    model.FileRule,
    (
        Key(
            "from",
            Text(grammar.SOURCE, loose=True),
            "A file, folder or glob in the folder of the recipe file that says it.",
            "app",
            field="source",
        ),
        Key("text", Text(loose=True, allows_empty=True), "The content itself.", '"hello\\n"'),
        Key(
            "link",
            Text(grammar.LINK, loose=True),
            "Make a symbolic link with this target.",
            "/usr/bin/busybox",
        ),
        Key("directory", Flag(), "Make an empty folder.", "true"),
        Key(
            "to",
            Text(grammar.TARGET),
            "Where in the image; `/` at its end means into that folder.",
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
            "What to leave out of a folder or glob, in the manner of .gitignore.",
            '["__pycache__/", "*.pyc"]',
        ),
    ),
    grammar.check_file,
)

USER = Table(
    model.User,
    (
        Key("name", Text(grammar.USER), "The user's name.", "app", True),
        Key("uid", Integer(0, grammar.MAX_ID), "Its number; without it the lock keeps one.", "1000"),
        Key(
            "group",
            Text(grammar.GROUP_OR_ID, grammar.parse_owner, loose=True),
            "Its primary group; without it one of the same name.",
            "app",
        ),
        Key("groups", ListOf(Text(grammar.GROUP), identity="value"), "Further groups.", "[tty]"),
        Key("home", Text(grammar.PATH), "Its home.", "/home/app"),
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
        Key("gid", Integer(0, grammar.MAX_ID), "Its number; without it the lock keeps one.", "1000"),
    ),
)

HEALTH = Table(
    model.HealthCheck,
    (
        Key(
            "command", _COMMAND, "What to run; 0 means well.", "[/usr/bin/curl, -f, http://localhost/]", True
        ),
        Key("interval", Duration(), "Time between two checks.", "30s"),
        Key("timeout", Duration(), "How long one may take.", "5s"),
        Key("start_period", Duration(), "Time in which failures do not count.", "1m"),
        Key("retries", Integer(1, 1000), "Failures in a row that mean unwell.", "3"),
    ),
)

RUN = Table(
    model.Run,
    (
        Key(
            "user",
            Text(grammar.OWNER, grammar.parse_owner, loose=True),
            "Who runs it: `user` or `user:group`.",
            "nonroot",
        ),
        Key(
            "command",
            _COMMAND,
            "The program and its fixed arguments (OCI: Entrypoint).",
            "[/usr/bin/python3, /app/hello.py]",
        ),
        Key(
            "arguments",
            ListOf(_ANY, merge="replace"),
            "Default arguments, replaced by those of `pumice run` (OCI: Cmd).",
            "[--verbose]",
        ),
        Key("directory", Text(grammar.PATH), "The working directory.", "/app"),
        Key(
            "ports",
            MapOf(Text(grammar.AC_NAME, loose=True), Text(grammar.PORT, grammar.parse_port, loose=True)),
            "Names and numbers of the ports it listens on.",
            "{http: 8080, dns: 53/udp}",
        ),
        Key(
            "volumes",
            MapOf(Text(grammar.AC_NAME, loose=True), Text(grammar.PATH)),
            "Names and paths of the places it keeps data in.",
            "{data: /var/lib/app}",
        ),
        Key(
            "stop_signal",
            Text(grammar.SIGNAL, grammar.parse_signal),
            "The signal that asks it to end.",
            "SIGTERM",
        ),
        Key("health", HEALTH, "How to ask whether it is well.", "{command: [/app/health], interval: 30s}"),
    ),
    grammar.check_ports,
)

PYTHON = Table(
    model.Python,
    (Key("bytecode", Flag(), "Compile the packages' Python files into the image.", "true"),),
)

_TEXTS = MapOf(Text(grammar.LABEL, loose=True), _ANY)

RECIPE = Table(
    model.Recipe,
    (
        Key(
            "extend",
            ListOf(Text(grammar.FILE), single=True),
            "Recipes that this one builds on, paths relative to it.",
            "base.yaml",
            field="-",
        ),
        Key("name", Text(grammar.NAME, loose=True), "The image's name.", "example.com/hello", True),
        Key(
            "version", Text(grammar.VERSION, loose=True), "The image's version, also its tag.", '"1.0"', True
        ),
        Key(
            "description",
            Text(loose=True, allows_empty=True),
            "What it is, in a sentence.",
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
            "from", ORIGIN, "The distribution that packages come from.", "{debian: bookworm}", True, "origin"
        ),
        Key("base", Choice(("data", "essential", "none")), "What is there besides the packages.", "data"),
        Key("recommends", Flag(), "Install what packages recommend as well.", "true"),
        Key(
            "packages",
            ListOf(
                Text(grammar.REQUEST, grammar.parse_request, loose=True, path="dotted"), identity="package"
            ),
            "The packages to install; what they depend on comes by itself.",
            "[python3, ca-certificates]",
        ),
        Key("files", ListOf(FILE), "Files, links and folders of your own.", "[{from: app, to: /app}]"),
        Key("users", ListOf(USER, identity="name"), "Users to add.", "[{name: app, uid: 1000}]"),
        Key("groups", ListOf(GROUP, identity="name"), "Groups to add.", "[{name: app, gid: 1000}]"),
        Key(
            "environment",
            MapOf(Text(grammar.VARIABLE, loose=True), _ANY),
            "Environment variables.",
            "{LANG: C.UTF-8}",
        ),
        Key("run", RUN, "What runs, as whom and where.", "{user: nonroot, command: [/usr/bin/python3]}"),
        Key(
            "archs",
            ListOf(
                Text(grammar.ARCHITECTURE, grammar.parse_architecture, loose=True),
                identity="value",
                min_length=1,
            ),
            "Architectures to build for; without it the machine's own.",
            "[amd64, arm64]",
        ),
        Key("layers", Choice(("auto", "packages", "single")), "How packages are put into layers.", "auto"),
        Key(
            "include",
            ListOf(Choice(("docs", "man", "info", "locales", "lintian")), identity="value"),
            "What to keep of that which is left out by default.",
            "[locales]",
        ),
        Key("python", PYTHON, "Extras for Python.", "{bytecode: true}"),
    ),
    grammar.check_users,
    (
        (
            "scripts",
            "running package scripts in a sandbox is not available yet",
            "remove it; 'pumice build --report FILE' lists what the scripts would have done",
        ),
    ),
)
