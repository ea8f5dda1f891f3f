"""Releases of slices that are accepted or refused, as tables: the text, and a part of what is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.slices import release_file, write_release

if TYPE_CHECKING:
    from pathlib import Path

Slices = dict[str, dict[str, str]]


def write_slices(folder: Path, slices: Slices) -> Path:
    """Write a release; ``slices`` are by package, and then the contents of each, in YAML's flow style."""
    return write_release(
        folder,
        {
            package: f"package: {package}\nslices:\n"
            + "".join(f"  {name}:\n    contents: {{{contents}}}\n" for name, contents in by_name.items())
            for package, by_name in slices.items()
        },
    )


CONFLICTS: list[tuple[Slices, str]] = [
    # The same path
    ({"aa": {"one": "/x: ", "two": "/x: "}}, ""),
    ({"aa": {"one": "/x: "}, "bb": {"one": "/x: "}}, "slices aa_one and bb_one conflict on /x"),
    ({"aa": {"one": "/x: {text: a}"}, "bb": {"one": "/x: {text: a}"}}, ""),
    ({"aa": {"one": "/x/: {make: true}"}, "bb": {"one": "/x/: {make: true}"}}, ""),
    (
        {"aa": {"one": "/x: {text: a}"}, "bb": {"one": "/x: {text: b}"}},
        "aa_one and bb_one conflict on /x",
    ),
    ({"aa": {"one": "/x: {text: a}", "two": "/x: "}}, "slices aa_one and aa_two conflict on /x"),
    (
        {"aa": {"one": "/x: {text: a, mode: 0600}", "two": "/x: {text: a}"}},
        "aa_one and aa_two conflict on /x",
    ),
    ({"aa": {"one": "/x: {until: mutate}", "two": "/x: "}}, ""),
    ({"aa": {"one": "/x: {mutable: true}", "two": "/x: "}}, "slices aa_one and aa_two conflict on /x"),
    # Patterns
    ({"aa": {"one": "/x/*: ", "two": "/x/y: "}}, ""),
    ({"aa": {"one": "/x/*: "}, "bb": {"one": "/x/y: "}}, "aa_one and bb_one conflict on /x/* and /x/y"),
    ({"aa": {"one": "/x/*: "}, "bb": {"one": "/x/y/z: "}}, ""),
    (
        {"aa": {"one": "/x/**: "}, "bb": {"one": "/x/*/z: "}},
        "aa_one and bb_one conflict on /x/** and /x/*/z",
    ),
    ({"aa": {"one": "/x/**: "}, "bb": {"one": "/x/: "}}, "aa_one and bb_one conflict on /x/** and /x/"),
    ({"aa": {"one": "/x/**: "}, "bb": {"one": "/x/**: "}}, "slices aa_one and bb_one conflict on /x/**"),
    (
        {"aa": {"one": "/x/**: ", "two": "/x/y: {text: a}"}},
        "aa_one and aa_two conflict on /x/** and /x/y",
    ),
    ({"aa": {"one": "/x/**: , /x/y: {symlink: a}"}}, "slices aa_one and aa_one conflict on "),
    (
        {"aa": {"one": "/x/**: {generate: manifest}", "two": "/x/y: "}},
        "aa_one and aa_two conflict on /x/**",
    ),
    ({"aa": {"one": "/x/**: {generate: manifest}"}, "bb": {"one": "/x/**: {generate: manifest}"}}, ""),
    # prefer
    ({"aa": {"one": "/x: {prefer: bb}"}, "bb": {"one": "/x: "}}, ""),
    ({"aa": {"one": "/x: {prefer: bb}"}, "bb": {"one": "/x: {text: a}"}}, ""),
    ({"aa": {"one": "/x: {prefer: cc}"}}, "'prefer' names the unknown package 'cc'"),
    ({"aa": {"one": "/x: {prefer: bb}"}, "bb": {"one": "/y: "}}, "aa prefers bb, which does not have /x"),
    (
        {"aa": {"one": "/x: {prefer: bb}"}, "bb": {"one": "/x: {prefer: aa}"}},
        "aa is in a loop of 'prefer' for /x",
    ),
    (
        {"aa": {"one": "/x: {prefer: cc}"}, "bb": {"one": "/x: {prefer: cc}"}, "cc": {"one": "/x: "}},
        "aa and bb both prefer cc for /x",
    ),
    (
        {"aa": {"one": "/x: {prefer: bb}", "two": "/x: {prefer: cc}"}, "bb": {"one": "/x: "}, "cc": {}},
        "aa prefers both bb and cc for /x",
    ),
    (
        {"aa": {"one": "/x: {prefer: bb}"}, "bb": {"one": "/x: {prefer: cc}"}, "cc": {"one": "/x: "}},
        "",
    ),
    (
        {"aa": {"one": "/x: {prefer: bb}"}, "bb": {"one": "/x: "}, "cc": {"one": "/x: "}},
        "conflict on /x: neither package is preferred",
    ),
]
"""Slices, and the conflict between them, empty for none."""


def definition(contents: str = "", *, more: str = "", name: str = "bins") -> str:
    return f"package: tool\n{more}slices:\n  {name}:\n    contents:\n      {contents}\n"


ESSENTIAL_MAP = "essential: {tool_libs: {arch: i386}}\n"
WRONG_PATHS = [
    # Paths
    ("usr/bin/x:", "'usr/bin/x' is not a path of a slice"),
    ("/usr//x:", "'/usr//x' is not a path of a slice"),
    ("/usr/../etc/passwd:", "'/usr/../etc/passwd' is not a path of a slice"),
    ("/usr/./x:", "'/usr/./x' is not a path of a slice"),
    ("/:", "'/' is not a path of a slice"),
    ('"/a\\tb":', "'/a\\tb' is not a path of a slice"),
    (f"? /{'a' * 520}*\n      :", "the pattern is longer than 512 characters"),
    # Options
    ("/x: {make: true}", "a directory to make must end with '/'"),
    ("/x: {text: a, symlink: b}", "the path has several contents: text, symlink"),
    ("/x/: {make: true, copy: /y/}", "the path has several contents: make, copy"),
    ("/x*: {text: a}", "a path with wildcards cannot have 'text'"),
    ("/x*: {mode: 0644}", "a path with wildcards cannot have 'mode'"),
    ("/x*: {prefer: other}", "a path with wildcards cannot have 'prefer'"),
    ("/x?: {copy: /y}", "a path with wildcards cannot have 'copy'"),
    ("/x/: {mutable: true}", "only a file that is copied or has a 'text' can be mutable"),
    ("/x: {symlink: y, mutable: true}", "only a file that is copied or has a 'text' can be mutable"),
    ("/x: {until: later}", "'until' cannot be 'later'"),
    ("/x: {arch: m68k}", "'m68k' is not an architecture"),
    ("/x: {arch: [amd64, m68k]}", "'m68k' is not an architecture"),
    ("/x: {prefer: tool}", "a package cannot prefer itself"),
    ("/x: {mode: a}", "'mode' must be a number"),
    ("/x: {mode: 0888}", "'mode' must be an octal number"),
    ("/x: {mode: 0o70000}", "'mode' is out of range"),
    ("/x: {mutable: maybe}", "'mutable' must be true or false"),
    ("/x: [a]", "the options of /x must be a mapping"),
    ("/x: {text: [a]}", "'text' must be a string"),
    # generate
    ("/x: {generate: manifest}", "a path with 'generate' must be a directory with '/**'"),
    ("/x*/**: {generate: manifest}", "a path with 'generate' must be a directory with '/**'"),
    ("/x/**: {generate: manifest, mode: 0600}", "a path with 'generate' cannot have 'mode'"),
    ("/x/**: {generate: manifest, until: mutate}", "a path with 'generate' cannot have 'until'"),
]
"""Items of ``contents``, and what is wrong with them."""

WRONG_DEFINITIONS = [
    (definition(more=ESSENTIAL_MAP), "2:12: 'essential' must be a list"),
    (definition(more="essential: [tool]\n"), "2:13: 'tool' is not a slice"),
    (definition(name="b1"), "3:3: 'b1' is not a slice's name"),
    (definition(name="Bins"), "3:3: 'Bins' is not a slice's name"),
    ("package: other\n", "1:10: 'package' is 'other', and the file is for 'tool'"),
    ("slices: {}\n", "1:1: 'package' is '', and the file is for 'tool'"),
    ("package: tool\nslices: [a]\n", "2:9: 'slices' must be a mapping"),
    ("package: tool\nslices: {bins: {hint: " + "x" * 41 + "}}\n", "2:23: the hint is not valid"),
    (
        "package: tool\nslices: {bins: {essential: [tool_bins]}}\n",
        "2:29: the slice tool_bins requires itself",
    ),
    (
        "package: tool\nessential: [tool_libs]\nslices: {libs: , bins: {essential: [tool_libs]}}\n",
        "3:37: tool_bins requires tool_libs twice",
    ),
    (
        "package: tool\nslices: {bins: {essential: [gone_libs]}}\n",
        "2:29: tool_bins requires gone_libs, which does not exist",
    ),
    (
        "package: tool\nslices: {aaa: {essential: [tool_bbb]}, bbb: {essential: [tool_aaa]}}\n",
        "2:10: slices require each other: tool_aaa, tool_bbb",
    ),
    ("package: tool\npackage: tool\n", "2:1: duplicate key 'package', first used in line 1"),
]
"""Definitions of the package ``tool``, and what is wrong, with its line and column."""

ONE = "{version: '1', suites: [s], components: [main], public-keys: [test-key]"

WRONG_RELEASE_FILES = [
    ("format: v4\n", "chisel.yaml:1:9: format v4 is newer than this Pumice"),
    ("format: chisel-v1\n", "chisel.yaml:1:9: unknown format 'chisel-v1'"),
    ("archives: {}\n", "chisel.yaml:1:1: the release has no 'format'"),
    ("", "chisel.yaml: the file has no release definition"),
    (release_file(archives="archives: {}\n"), "chisel.yaml:1:1: the release has no archives"),
    (
        release_file(archives=f"archives: {{a: {ONE}}}, b: {ONE}}}}}\n"),
        "the archive 'a' has no 'priority'",
    ),
    (
        release_file(archives=f"archives: {{a: {ONE}, priority: 1}}, b: {ONE}, priority: 1}}}}\n"),
        "the archives 'a' and 'b' have the same priority",
    ),
    (release_file(archives=f"archives: {{a: {ONE}, priority: 0}}}}\n"), "the priority 0 is out of range"),
    (
        release_file(archives=f"archives: {{a: {ONE}, priority: 1001}}}}\n"),
        "the priority 1001 is out of range",
    ),
    (
        release_file(archives=f"archives: {{a: {ONE}, default: true}}, b: {ONE}, default: true}}}}\n"),
        "more than one archive is the default: a, b",
    ),
    (
        release_file("v2", f"archives: {{a: {ONE}, default: true}}}}\n"),
        "'default' is obsolete since format v2",
    ),
    (
        release_file("v2", f"v2-archives: {{a: {ONE}}}}}\n"),
        "'v2-archives' is obsolete since format v2",
    ),
    (
        release_file(archives=f"archives: {{a: {ONE}}}}}\nv2-archives: {{a: {ONE}}}}}\n"),
        "the archive 'a' is defined twice",
    ),
    (release_file(archives="archives: {a: {version: '1'}}\n"), "the archive 'a' has no 'suites'"),
    (
        release_file(archives=f"archives: {{a: {ONE.replace('test-key', 'gone')}}}}}\n"),
        "the archive 'a' names the unknown public key 'gone'",
    ),
    (release_file().replace("id: ", "id: 0"), "has the id "),
    (
        release_file(maintenance="maintenance: {standard: 2023-06-10}\n"),
        "'maintenance' has no 'end-of-life'",
    ),
    (
        release_file(maintenance="maintenance: {standard: 2023-02-31, end-of-life: 2024-01-01}\n"),
        "'standard' is not a date",
    ),
]
"""Texts of ``chisel.yaml``, and what is wrong with them."""
