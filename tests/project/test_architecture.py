"""Rules that keep the code easy to navigate."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from pumice.cli.commands import COMMANDS
from pumice.image.transports.locations import TRANSPORTS
from tests.support import sources
from tests.support.docs import ROOT

SOURCE = ROOT / "src" / "pumice"
FILE_LINES = 400
FUNCTION_LINES = 40

VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "lib", "core", "base_utils"}

OUTPUTS = {"build", "dist", "lib", "env", "out", "target", "bin", "obj"}
"""What tools, and many people's ignore files, take for folders of generated files."""

HOSTS = re.compile(
    r"""(?x)
    localhost | 127\.0\.0\.1 | \[::1\]            # this machine
    | ([a-z0-9-]+\.)*example(\.(com|org|net))?    # RFC 2606
    | ([a-z0-9-]+\.)*(invalid|test)
    | github\.com                                 # specifications and the tools we are held against
    | (www\.)?(debian|freedesktop|json-schema|rfc-editor|ietf|w3|spdx|reproducible-builds|no-color)\.org
    | diataxis\.fr
    | slsa\.dev | in-toto\.io | spdx\.dev | cyclonedx\.org | sigstore\.dev  # names of kinds of evidence
    | in-toto\.io | (cosign\.)?sigstore\.dev | (slsa|openvex|spdx)\.dev | cyclonedx\.org  # predicates
    | (manpages|wiki|specifications)\.(debian|freedesktop)\.org
    | (man7|kernel|docs\.kernel|docs\.python|peps\.python|gnu|tukaani|semver|keepachangelog|www\.apache)\.org
    | (www\.)?(gnu|kernel|apache)\.org
    | (10|169\.254|192\.168)(\.\d{1,3})+             # addresses of no public host
    | token\.actions\.githubusercontent\.com       # the issuer of identities of workflows
    """
)
URL = re.compile(r"https?://([^/?#\s\"'`<>(){}|\\,;:]+)")


def tracked(*patterns: str) -> list[Path]:
    process = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode != 0:
        return [path for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts]
    return [ROOT / name for name in process.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_folder_is_named_like_a_build_output() -> None:
    folders = {part for path in tracked() for part in path.relative_to(ROOT).parts[:-1]}
    assert folders & OUTPUTS == set()


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_files_have_at_most_400_lines() -> None:
    long = {name(path): lines for path in modules() if (lines := path.read_text().count("\n")) > FILE_LINES}
    assert long == {}


def test_functions_have_a_limited_length() -> None:
    long = {}
    for path in modules():
        for node in sources.nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    long[f"{name(path)}:{node.lineno} {node.name}"] = lines
    assert long == {}


def test_modules_have_no_generic_names() -> None:
    assert [name(path) for path in modules() if VAGUE & {path.stem, *path.relative_to(SOURCE).parts}] == []


def test_annotations_are_not_evaluated_at_import() -> None:
    missing = [
        name(path)
        for path in modules()
        if (text := path.read_text()).strip()
        and "from __future__ import annotations" not in text
        and re.search(r"^(def |class |import |from )", text, re.MULTILINE)
        and path.name not in {"__main__.py", "__init__.py"}
    ]
    assert missing == []


@pytest.mark.parametrize("word", ["print", "exit", "quit", "breakpoint", "input", "eval", "exec"])
def test_the_library_neither_prints_nor_exits(word: str) -> None:
    callers = [
        f"{name(path)}:{node.lineno}"
        for path in modules()
        if "cli" not in path.parts
        for node in sources.nodes(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == word
    ]
    assert callers == []


def test_protocols_are_small() -> None:
    """A protocol has at most five methods, so that a second implementation is little work."""
    wide = {}
    for path in modules():
        for node in sources.nodes(path):
            if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "Protocol" for base in node.bases):
                methods = [
                    statement.name
                    for statement in node.body
                    if isinstance(statement, ast.FunctionDef) and not statement.name.startswith("__")
                ]
                if len(methods) > 5:
                    wide[f"{name(path)} {node.name}"] = methods
    assert wide == {}


def test_no_mirror_or_registry_is_hard_coded() -> None:
    """Sources of packages are configured by the user, so the code contains no host names."""
    hosts = set()
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for match in URL.finditer(text):
            host = match[1].rsplit("@", 1)[-1].lower().rstrip(".")
            if "." in host and not HOSTS.fullmatch(host):
                hosts.add(f"{name(path)}: {host}")
    assert hosts == set()


def test_no_file_contains_the_path_of_a_home_directory() -> None:
    private = re.compile(r"(?<![\w./-])/(?:root|home|Users)/[\w.-]+/[\w./-]+")
    violations = [
        f"{name(path)}: {match[0]}"
        for path in tracked("src", "docs", "examples", "tools", "Makefile", "*.md", ".ci")
        if path.suffix not in {".gpg", ".deb"}
        for match in private.finditer(path.read_text())
    ]
    assert violations == []


def test_ci_installs_every_program_that_a_test_needs() -> None:
    packages = {
        "busybox": "busybox-static",
        "bwrap": "bubblewrap",
        "gpg": "gnupg",
        "dpkg-deb": "dpkg-dev",
        "dpkg-scanpackages": "dpkg-dev",
        "dpkg": "dpkg-dev",
        "dpkg-query": "dpkg-dev",
        "newuidmap": "uidmap",
        "newgidmap": "uidmap",
        "keytool": "default-jre-headless",
        "java": "default-jre-headless",
        "ip": "iproute2",
        "tc": "iproute2",
        "pasta": "passt",
        "xz": "xz-utils",
        "man": "man-db",
        "nginx": "nginx-light",
        "apt-ftparchive": "apt-utils",
        "systemd-analyze": "systemd",
        "qemu-system-x86_64": "qemu-system-x86",
    }
    always = {"bash", "sh", "ldconfig", "tar", "gzip", "unshare", "setpriv", "make", "git", "nsenter"}
    always |= {"apt-get", "apt-cache", "dpkg-query"}
    script = (ROOT / ".ci" / "run").read_text()
    installed = set(script.split("\npeers=(")[1].split(")")[0].split())
    installed |= set(
        re.findall(r'^    "([a-z0-9-]+) ', script.split("\ngo_peers=(")[1].split("\n)")[0], re.M)
    )
    programs = set()
    for path in (ROOT / "tests").rglob("*.py"):
        text = path.read_text()
        programs |= set(re.findall(r"""\bneed\(\s*["']([\w.+-]+)["']""", text))
        for match in re.findall(r"""mark\.peer\(([^)]*)\)""", text):
            programs |= set(re.findall(r"""["']([\w.+-]+)["']""", match))
    for page in (ROOT / "docs").rglob("*.md"):
        programs |= set(" ".join(re.findall(r"<!-- needs: ([^>]*) -->", page.read_text())).split())
    assert {word for word in programs - always if packages.get(word, word) not in installed} == set()


def test_every_created_directory_has_an_explicit_mode() -> None:
    """`pumice.ownership` creates directories, or a mode prevents writes by other users."""
    violations = []
    for path in modules():
        if path.name == "ownership.py":
            continue
        for node in sources.nodes(path):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr not in ("mkdir", "makedirs"):
                continue
            modes = [ast.unparse(word) for word in (*node.args, *(key.value for key in node.keywords))]
            if not {"448", "493", "mode"} & set(modes):  # 0o700, 0o755, or what `FileSystem` was told
                violations.append(f"{name(path)}:{node.lineno}")
    assert violations == []


def test_no_file_or_directory_is_writable_for_everybody() -> None:
    """No mode in the code lets other users write, because with umask 0 the file gets that mode."""
    open_to_all = re.compile(r"\b0o(?:666|777|664|775)\b")
    allowed_places = {
        "src/pumice/image",
        "src/pumice/packing",
        "src/pumice/formats",
        "src/pumice/evidence",
        "src/pumice/runtime",
    }
    violations = [
        f"{name(path)}: {match[0]}"
        for path in modules()
        if not any(name(path).startswith(folder) for folder in allowed_places)
        for match in open_to_all.finditer(path.read_text())
    ]
    assert violations == []


def test_only_the_terminal_module_prints() -> None:
    """Only commands print, through `sys.stdout` and `sys.stderr`; logs come from `terminal.logger`."""
    print_calls = []
    for path in modules():
        for node in sources.nodes(path):
            text = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Call) else ""
            in_cli = "cli" in path.parts
            prints = text in ("sys.stdout", "sys.stderr") or text.startswith("print(")
            around = text in ("sys.__stdout__", "sys.__stderr__") or text.startswith(
                ("os.write(1", "os.write(2")
            )
            logs = text.startswith("logging.getLogger(") and path.name != "terminal.py"
            if around or logs or (prints and not in_cli):
                print_calls.append(f"{name(path)}: {text.splitlines()[0]}")
    allowed_prints = {
        "src/pumice/registry/server/serve.py: sys.stdout",  # flushed before os._exit
        "src/pumice/registry/server/serve.py: sys.stderr",
        "src/pumice/runtime/metadata/service.py: sys.stdout",  # a program of its own
        "src/pumice/runtime/metadata/service.py: sys.stderr",
        "src/pumice/trust/openpgp_decryption/child.py: sys.stderr",  # a program of its own
        "src/pumice/trust/signature_process.py: sys.stdout",  # a program of its own
    }
    silenced = "src/pumice/trust/keyless.py: logging.getLogger('sigstore')"
    assert {line for line in print_calls if not line.startswith(silenced)} - allowed_prints == set()


SCHEMES = {transport.scheme for transport in TRANSPORTS}
AMBIGUOUS_NAMES = {"aci", "dir", "tar", "store", "docker"}
"""Names of transports that are also names of other things, such as kinds of tar entries and commands."""
WITH_SCHEMES = {
    "image/transports/": "the table of transports, and hints that name another one",
    "registry/reference.py": "the client accepts docker:// before the name of an image",
    "cli/shell_completion/complete_values.py": "completion offers them without loading the table",
    "evidence/identifiers.py": "oci is a type of package URL",
    "runtime/stage1/__init__.py": "oci is a stage 1",
    "cli/pods/pod_arguments.py": "oci is a stage 1",
}


def _scheme_literals(path: Path) -> list[str]:
    """Return the string literals of a module that are the scheme or the name of a transport."""
    tree = sources.tree(path)
    words = SCHEMES | {transport.name for transport in TRANSPORTS} - AMBIGUOUS_NAMES
    return [
        f"{path.relative_to(SOURCE)}:{node.lineno}: {node.value!r}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in words
    ]


def test_schemes_of_locations_are_compared_in_the_table_of_transports_only() -> None:
    literals = [literal for path in SOURCE.rglob("*.py") for literal in _scheme_literals(path)]
    assert [literal for literal in literals if not literal.startswith(tuple(WITH_SCHEMES))] == []


PROGRAM = {"__init__", "main", "commands", "overview", "code_cache", "code_cache_writer"}
"""The modules of the program itself, which are no commands."""


def test_a_module_beside_the_commands_is_a_command() -> None:
    """What commands share is in folders."""
    names = {path.stem for path in (SOURCE / "cli").glob("*.py")}
    assert names - {verb.replace("-", "_") for verb in COMMANDS} == PROGRAM


RUN_OTHERS = {("cp", "copy"), ("fetch", "pull"), ("run_prepared", "run")}
"""Commands that run another command, in some cases or always."""


def test_a_command_is_imported_only_to_run_it() -> None:
    """What commands share is in folders, which import no command."""
    commands = {module.removeprefix("pumice.cli."): module for module, _, _ in COMMANDS.values()}
    imports = set()
    for path in (SOURCE / "cli").rglob("*.py"):
        importer = path.relative_to(SOURCE / "cli").with_suffix("").parts[0]
        for node in sources.nodes(path):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("pumice.cli"):
                continue
            for alias in node.names:
                _, _, imported = f"{node.module}.{alias.name}".rpartition("pumice.cli.")
                imports.add((importer, imported.partition(".")[0]))
    assert {pair for pair in imports if pair[1] in commands and pair[0] != pair[1]} == RUN_OTHERS
