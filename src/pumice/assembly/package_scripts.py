"""``scripts: sandbox``: run the scripts of packages on the finished tree, as dpkg would.

Effects come first, so that users, alternatives and caches are those of any other image, and most scripts find
nothing to do. Then all ``preinst`` and ``postinst`` scripts run in the built-in sandbox without network: as
the only user there is, with changes of owners recorded instead of made. They run twice in different
surroundings; what differs is listed, and the image is marked.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly import generate, tree_changes
from pumice.assembly.command_limits import LimitWatch
from pumice.assembly.command_output import read_output
from pumice.assembly.generated_secrets import refuse_secrets
from pumice.assembly.layer_assembly import assemble_layers
from pumice.assembly.script_order import order_packages
from pumice.errors import ImageError, SandboxError
from pumice.formats.lines import split_lines
from pumice.os_errors import IMAGE, translate_os_errors
from pumice.packing.tree import RECIPE_OWNER, GeneratedEntry, Node
from pumice.runtime import tree_lookup
from pumice.runtime.container import Container, Mount, Process
from pumice.runtime.launch.errors import NotRunnableError
from pumice.runtime.run import execute
from pumice.runtime.stage1.builtin import Builtin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pumice.assembly.context import BuildContext
    from pumice.assembly.layer_assembly import LayerContents
    from pumice.assembly.platform_model import PlatformInputs
    from pumice.packing.compose import LayerEntry
    from pumice.packing.tree import PackageFacts

ORIGIN = "package scripts"
_INFO = "/var/lib/dpkg/info"
_TRIGGER_LOG = "/run/pumice-triggers"
_POLICY = "#!/bin/sh\nexit 101\n"
_DPKG_TRIGGER = f"""#!/bin/sh
for trigger; do :; done
echo "$DPKG_MAINTSCRIPT_PACKAGE $trigger" >> {_TRIGGER_LOG}
"""
_WRITER = "the scripts of packages"
_UNCHANGED = 0xFFFFFFFF
_MAX_MESSAGE = 2000
_MAX_CONTENT = 256 << 20
_DROPPED = (
    *generate.MOUNTED_DIRECTORIES,
    *generate.TEMPORARY_DIRECTORIES,
    *("var/lib/dpkg/info", "var/lib/dpkg/lock", "var/lib/dpkg/lock-frontend", "var/lib/dpkg/triggers"),
    *("var/lib/dpkg/updates", "var/lib/dpkg/status-old", "var/lib/dpkg/diversions-old"),
    *("var/lib/dpkg/statoverride-old", "usr/sbin/policy-rc.d", "usr/bin/dpkg-trigger", "var/lib/apt/lists"),
)
_BACKUPS = ("etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "etc/subuid-", "etc/subgid-")


class ScriptOutput(msgspec.Struct, frozen=True):
    """What scripts changed: entries, and the paths of files that they removed."""

    entries: tuple[GeneratedEntry, ...]
    removed: tuple[str, ...]


class _Script(msgspec.Struct, frozen=True):
    package: PackageFacts
    name: str
    arguments: tuple[str, ...]


def run_package_scripts(
    contents: LayerContents,
    packages: Sequence[PackageFacts],
    inputs: PlatformInputs,
    created: int,
    context: BuildContext,
) -> tuple[LayerContents, tuple[str, ...]]:
    """Return the contents with what the scripts of ``packages`` write, and what differs between two runs.

    Raises ImageError if a script fails, or generates a secret, and SandboxError without the sandbox.
    """
    ordered = [package for package in order_packages(packages) if package.installed]
    first = _run_round(0, contents, ordered, inputs, created, context)
    second = _run_round(1, contents, ordered, inputs, created, context)
    differences = _list_differences(first, second)
    if differences:
        context.progress.warn(
            f"{_WRITER} do not write the same twice: {generate.list_paths(differences)}; the image is marked"
            " as not reproducible"
        )
    return _add_output(contents, first), tuple(differences)


def _list_differences(first: ScriptOutput, second: ScriptOutput) -> list[str]:
    texts = [
        {item.entry.path: msgspec.json.encode(item) for item in output.entries} for output in (first, second)
    ]
    changed = {path for path in texts[0].keys() | texts[1].keys() if texts[0].get(path) != texts[1].get(path)}
    return sorted(changed | (set(first.removed) ^ set(second.removed)))


def _add_output(contents: LayerContents, output: ScriptOutput) -> LayerContents:
    written_paths = {item.entry.path for item in output.entries}
    replaced = written_paths | set(output.removed)
    nodes = {path: node for path, node in contents.nodes.items() if path not in replaced}
    nodes |= {item.entry.path: Node(item.entry, item.origin) for item in output.entries}
    kept = [item for item in contents.generated if item.entry.path not in replaced]
    return msgspec.structs.replace(contents, nodes=nodes, generated=[*kept, *output.entries])


def _run_round(
    number: int,
    contents: LayerContents,
    packages: Sequence[PackageFacts],
    inputs: PlatformInputs,
    created: int,
    context: BuildContext,
) -> ScriptOutput:
    """Unpack the image, run the scripts on it, and return what they changed."""
    from pumice.assembly.image_programs import write_image
    from pumice.image import rootfs
    from pumice.progress import Silent

    home = context.home
    image = write_image(inputs, assemble_layers(contents, inputs.recipe.layers, context), home.blobs)
    if number:
        time.sleep(1 - time.time() % 1)  # so that a time in seconds differs between the rounds
    with (
        tempfile.TemporaryDirectory(prefix="scripts-", dir=home.directory("tmp")) as folder,
        context.progress.task("running package scripts"),
    ):
        root = Path(folder, "root")
        rootfs.write_directory(image, root, progress=Silent(), set_owners=False)
        surroundings = generate.surroundings_of_round(number)
        runner = _ScriptRunner(Path(folder), inputs, created, surroundings)
        with translate_os_errors(root, IMAGE):
            before = tree_changes.read_state(root)
            runner.run_all(packages)
            after = tree_changes.read_state(root)
        changes = tree_changes.compare_states(before, after)
        owners = runner.read_owners(after)
        changed = {path for path in (*changes.changed, *owners) if not _is_dropped(path)}
        removed = tuple(path for path in changes.removed if not _is_dropped(path))
        _check_removed(removed, contents)
        refuse_secrets(root, sorted(changed))
        modes = {path: state.mode for path, state in before.items()}
        entries = read_output(*(root, changed, contents, modes, created), owners=owners, writer=_WRITER)
        if sum(item.entry.size for item in entries) > _MAX_CONTENT:
            raise ImageError(f"{_WRITER} write more than {_MAX_CONTENT >> 20} MiB")
        return ScriptOutput(tuple(map(_make_entry, entries)), removed)


def _make_entry(item: LayerEntry) -> GeneratedEntry:
    is_file = item.entry.kind == "file" and isinstance(item.content, Path)
    content = Path(str(item.content)).read_bytes() if is_file else b""
    return GeneratedEntry(entry=item.entry, content=content, origin=ORIGIN)


def _is_dropped(path: str) -> bool:
    return path in _BACKUPS or any(f"{path}/".startswith(f"{directory}/") for directory in _DROPPED)


def _check_removed(paths: Iterable[str], contents: LayerContents) -> None:
    for path in paths:
        node = contents.nodes.get(path)
        if node is not None and node.owner == RECIPE_OWNER:
            raise ImageError(f"{_WRITER} remove /{path}, which is one of the recipe's files")


class _ScriptRunner:
    """Runs scripts on the tree ``folder/root``."""

    def __init__(
        self,
        folder: Path,
        inputs: PlatformInputs,
        created: int,
        surroundings: generate.Surroundings,
    ) -> None:
        self._folder = folder
        self._root = folder / "root"
        self._architecture = inputs.architecture
        self._environment = generate.make_environment(inputs.recipe.environment, created)
        self._surroundings = surroundings
        self._owner_log = folder / "owners"
        self._trigger_log = folder / "triggers"

    def run_all(self, packages: Sequence[PackageFacts]) -> None:
        """Run all scripts, in the order of dpkg, and then those for the triggers that they activated."""
        self._prepare(packages)
        for name, arguments in (("preinst", ("install",)), ("postinst", ("configure", ""))):
            for package in packages:
                if package.files.get(name, b"").strip():
                    self._run(_Script(package, name, arguments))
        for package, triggers in self._list_triggered(packages):
            self._run(_Script(package, "postinst", ("triggered", " ".join(triggers))))

    def _prepare(self, packages: Sequence[PackageFacts]) -> None:
        """Write what the scripts find in the directory of dpkg, and what replaces its programs."""
        info = self._folder / "info"
        original = self._root / _INFO.lstrip("/")
        if tree_lookup.resolve_with_mounts(self._root, _INFO, {}) == _INFO and original.is_dir():
            shutil.copytree(original, info, symlinks=True)
        else:
            info.mkdir(0o755)
        for package in packages:
            for name, data in package.files.items():
                path = info / f"{package.name}.{name}"
                path.write_bytes(data)
                path.chmod(0o755 if data.startswith(b"#!") else 0o644)
        for name, text in (("policy", _POLICY), ("dpkg-trigger", _DPKG_TRIGGER)):
            (self._folder / name).write_text(text)
            (self._folder / name).chmod(0o755)
        for path in (self._owner_log, self._trigger_log):
            path.touch()

    def _mounts(self) -> Iterator[Mount]:
        yield Mount("", "/tmp")  # noqa: S108 - a mount point inside
        yield Mount(str(self._folder / "info"), _INFO)
        yield Mount(str(self._folder / "policy"), "/usr/sbin/policy-rc.d", read_only=True)
        yield Mount(str(self._trigger_log), _TRIGGER_LOG)
        if os.path.lexists(self._root / "usr/bin/dpkg-trigger"):
            yield Mount(str(self._folder / "dpkg-trigger"), "/usr/bin/dpkg-trigger", read_only=True)

    def _run(self, script: _Script) -> None:
        container = Container(
            root=str(self._root),
            process=Process(
                arguments=(f"{_INFO}/{script.package.name}.{script.name}", *script.arguments),
                environment=self._make_environment(script),
            ),
            mounts=tuple(self._mounts()),
            network="none",
            init=True,
            hostname=self._surroundings.hostname,
            in_place=True,
            last_pid=self._surroundings.last_pid,
            owner_record=str(self._owner_log),
        )
        name = f"{script.package.name}'s {script.name} {script.arguments[0]}"
        with tempfile.TemporaryFile(dir=self._folder) as log, Path(os.devnull).open("rb") as stdin:
            watch = LimitWatch(generate.DEFAULT_LIMITS, self._root, log.fileno())
            streams = (stdin.fileno(), log.fileno(), log.fileno())
            try:
                code = execute(container, Builtin(), self._folder, streams, watch=watch.watch)
            except NotRunnableError as error:
                raise ImageError(
                    f"cannot run {name}: {error.message}",
                    hint="add what it needs: 'base: essential' has the shell and the tools of dpkg",
                ) from None
            except SandboxError as error:
                raise SandboxError(
                    f"cannot run the scripts of packages without the sandbox: {error.message}",
                    hint=error.hint or "allow user namespaces, or remove 'scripts' from the recipe",
                ) from None
            if code == 0:
                return
            log.seek(max(0, log.seek(0, os.SEEK_END) - _MAX_MESSAGE))
            message = log.read().decode(errors="replace").strip().rpartition("\n")[2]
        reason = (
            f"exceeds the limit of {watch.exceeded}" if watch.exceeded else f"fails with exit code {code}"
        )
        raise ImageError(f"{name} {reason}{': ' if message else ''}{message}")

    def _make_environment(self, script: _Script) -> dict[str, str]:
        """Return the environment of dpkg for a script (dpkg(1), "Environment")."""
        package = script.package
        architecture = package.architecture if package.architecture != "all" else self._architecture
        return {
            **self._environment,
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "DEBIAN_FRONTEND": "noninteractive",
            "DEBCONF_NONINTERACTIVE_SEEN": "true",
            "DPKG_ADMINDIR": "/var/lib/dpkg",
            "DPKG_MAINTSCRIPT_ARCH": architecture,
            "DPKG_MAINTSCRIPT_NAME": script.name,
            "DPKG_MAINTSCRIPT_PACKAGE": package.name,
            "DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT": "1",
            "DPKG_ROOT": "",
            "PERL_HASH_SEED": str(self._surroundings.hash_seed),
            "PYTHONHASHSEED": str(self._surroundings.hash_seed),
        }

    def _list_triggered(self, packages: Sequence[PackageFacts]) -> Iterator[tuple[PackageFacts, list[str]]]:
        """Yield the packages that are interested in the triggers that scripts activated (deb-triggers(5))."""
        lines = split_lines(self._trigger_log.read_text(errors="replace"))
        activated = {line.partition(" ")[2] for line in lines}
        for package in packages:
            rows = [
                line.split()
                for line in split_lines(package.files.get("triggers", b"").decode(errors="replace"))
            ]
            interests = {row[1] for row in rows if len(row) == 2 and row[0].startswith("interest")}
            if triggers := sorted(interests & activated):
                yield package, triggers

    def read_owners(self, state: tree_changes.TreeState) -> dict[str, tuple[int | None, int | None]]:
        """Return the owners that scripts gave to the files of the tree, by path; None is unchanged.

        A record counts for the file with its inode: at its path, or anywhere if the path is gone.
        """
        paths_by_inode: dict[int, list[str]] = {}
        for path in state:
            paths_by_inode.setdefault((self._root / path).lstat().st_ino, []).append(path)
        owners: dict[str, tuple[int | None, int | None]] = {}
        for record in self._owner_log.read_bytes().split(b"\0")[:-1]:
            inode, uid, gid, name = record.split(b" ", 3)
            recorded = os.fsdecode(name).lstrip("/")
            paths = paths_by_inode.get(int(inode), [])
            for path in paths if recorded in paths or recorded not in state else ():
                old = owners.get(path, (None, None))
                owners[path] = (
                    old[0] if int(uid) == _UNCHANGED else int(uid),
                    old[1] if int(gid) == _UNCHANGED else int(gid),
                )
        return owners
