"""Run plans: a repeated ``pumice run`` does what the first did, and any change takes the usual way again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.cli.main import main
from pumice.formats import oci
from pumice.image.model import Image
from pumice.image.transports import attachment
from pumice.runtime.quick import circumstances, plans, start
from pumice.store.home import Home
from pumice.trust import image_signing, policy_edit
from pumice.trust.policy_files import PolicyDirectory
from tests.support import images, peers, people, signed_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.people import Person

NAME = "example.com/box:1"
COMMAND = ["--network", "host", NAME, "pwd"]


# The same results -------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with people.person(request.param) as someone:
        with Home(someone.home / "store") as home:
            images.make(home, [images.shell()], name="box:1", config=oci.RunConfig(entrypoint=("sh", "-c")))
            images.make(home, [images.shell()], name="plain:1", config=oci.RunConfig(env=("A=image",)))
        someone.give(someone.home)
        for name in ("box:1", "plain:1"):
            someone.pumice("run", name, "pwd", env={circumstances.SWITCH: "0"})  # unpacks it
        yield someone


PROBE = (
    "id; pwd; env | sort; cat /proc/self/cgroup | cut -d/ -f1; cat /etc/hosts; ls /; ls /dev;"
    "grep -E 'Cap|NoNew|Seccomp' /proc/self/status; cut -d' ' -f5,6 /proc/self/mountinfo; echo $0 $@; cat;"
    "echo error >&2; exit 7"
)
COMMANDS: dict[str, list[str]] = {
    "probe": ["box:1", PROBE, "zero", "a b", "", "ä"],
    "options": [
        *("-e", "A=b", "-u", "33:34", "-w", "/tmp", "--hostname", "h", "--read-only", "--cap-add", "NET_RAW"),
        *("--tmpfs", "/x", "--shm-size", "1m", "box:1", PROBE),
    ],
    "program": ["plain:1", "echo", "x", "y'\"\\", "--", "-z"],
    "missing": ["plain:1", "nothing"],
    "not executable": ["plain:1", "/etc/passwd"],
    "no program": ["plain:1"],
    "signal": ["box:1", "kill -9 $$"],
    "volume": ["-v", "./data:/data", "box:1", "cat /data/file; echo new >> /data/file"],
    "missing volume": ["-v", "./nowhere:/data", "box:1", "pwd"],
    "unknown user": ["-u", "nobody-knows", "box:1", "pwd"],
    "init": ["--init", "box:1", "grep -c -e --network /proc/1/cmdline"],
    "memory": ["-m", "16m", "box:1", "dd if=/dev/zero of=/dev/null bs=40000000 count=1"],
}


DIFFERENT = ("probe", "options", "program", "missing", "signal")
"""The commands that each stage 1 executes in its own way."""


@pytest.mark.parametrize(
    ("stage1", "name"),
    [
        *(("builtin", name) for name in COMMANDS),
        *((stage1, name) for stage1 in ("bwrap", "runc", "fly") for name in DIFFERENT),
    ],
)
def test_a_repeated_run_has_the_same_results(person: Person, stage1: str, name: str) -> None:
    if stage1 in ("bwrap", "runc"):
        peers.need(stage1)
    data = person.home / "data"
    data.mkdir(exist_ok=True)
    results = []
    for _ in range(2):  # the first run makes a plan, and the second executes it
        (data / "file").write_text("old\n")
        person.give(data)
        process = person.pumice(
            *("run", "--network", "host", "--stage1", stage1, *COMMANDS[name]), input="input\n"
        )
        results.append((process.returncode, process.stdout, process.stderr, (data / "file").read_text()))
        assert "unpacking" not in process.stderr
    assert results[0] == results[1]


def test_the_end_of_a_killed_program_takes_no_further_modules(person: Person) -> None:
    """They would delay the end of 'pumice run'; only a refused system call is looked up."""
    arguments = ("run", "--network", "host", "--init", "box:1", "kill -9 $$")
    for _ in range(2):
        process = person.pumice(*arguments, env={"PYTHONPROFILEIMPORTTIME": "1"})
    modules = {line.rpartition("|")[2].strip() for line in process.stderr.splitlines()}
    assert process.returncode == 137
    assert "pumice.runtime.quick.start" in modules
    assert not {name for name in modules if name.startswith("pumice.runtime.isolation")}


# Every circumstance -----------------------------------------------------------------------------


class Place:
    """A store with a signed image, a policy that trusts its key, and the plan of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.config = folder, folder / "store", folder / "config"
        self.trust = self.config / "pumice" / "trust"

    def prepare(self) -> None:
        """Undo the changes of earlier tests, and run the image until there is a plan."""
        for directory in (self.config, self.store / "accepted", self.store / "built"):
            shutil.rmtree(directory, ignore_errors=True)
        (self.folder / "config.yaml").unlink(missing_ok=True)
        key = signed_images.key().public_key
        policy_edit.add_key(PolicyDirectory("user", self.trust), key, "example.com")
        with Home(self.store) as home:
            self.put_image(home, NAME)
        for _ in range(2):  # the first run records the version of the image, on which the plan depends
            assert self.run() == 0
        assert self.has_plan()

    def put_image(self, home: Home, name: str, content: str = "") -> Image:
        """Put a signed image into the store, as a pull would."""
        layer = {**images.shell(), "content": content}
        made = images.make(home, [layer], name=name, config=oci.RunConfig(entrypoint=()))
        (self.store / "built" / made.root.digest[7:]).unlink()
        image_signing.sign_image(
            made, attachment.StoreAttachment(home), home, signed_images.signer(), name=name
        )
        return made

    def has_plan(self, words: list[str] = COMMAND) -> bool:
        """Return whether the next run would be by plan."""
        plan = start._find_plan(words)
        if plan is None or not Path(plan.tree).exists():
            return False
        from pumice.runtime.launch import trees

        return trees.is_unchanged(plan.tree)

    def run(self, words: list[str] = COMMAND) -> int:
        return main(["run", *words])


@pytest.fixture(scope="module")
def shared_place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("place"))


@pytest.fixture
def place(shared_place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    folder = shared_place.folder
    monkeypatch.setenv("PUMICE_HOME", str(folder / "store"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.setenv("PUMICE_CONFIG", str(folder / "config.yaml"))
    monkeypatch.chdir(folder)
    if not shared_place.has_plan():
        shared_place.prepare()
    return shared_place


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def newest(directory: Path) -> Path:
    return max(directory.iterdir(), key=lambda path: path.stat().st_mtime_ns)


def manifest(place: Place) -> str:
    with Home(place.store) as home:
        descriptor = home.refs.get(NAME)
    assert descriptor is not None
    return str(descriptor.digest[7:])


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def move_name(place: Place) -> None:
    with Home(place.store) as home:
        place.put_image(home, NAME, "other")


def sign_again(place: Place) -> None:
    with Home(place.store) as home:
        descriptor = home.refs.get(NAME)
        assert descriptor is not None
        image = Image(descriptor, home.blobs, home.referrers.get)
        image_signing.sign_image(
            image, attachment.StoreAttachment(home), home, signed_images.signer(1), name=NAME
        )


def accept_newer(place: Place) -> None:
    write(place.store / "accepted" / f"{'0' * 64}.x", "")
    for path in (place.store / "accepted").iterdir():
        path.rename(path.with_suffix(".old"))


def tree(place: Place) -> Path:
    return next((place.store / "trees").iterdir()) / "root"


def change_in_tree(place: Place) -> None:
    path = tree(place) / "content"
    times = path.stat()
    path.write_text("evil")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


CHANGES: dict[str, Callable[[Place], object]] = {
    # The decision to trust the image.
    "a key is revoked": lambda place: write(place.trust / "revoked.d" / ("0" * 64), "stolen"),
    "a key is removed": lambda place: newest(place.trust / "prefix.d" / "example.com").unlink(),
    "a key is edited": lambda place: touch(newest(place.trust / "prefix.d" / "example.com")),
    "a threshold": lambda place: write(place.trust / "root.d" / "threshold", "2"),
    "a threshold of the name": lambda place: write(place.trust / "prefix.d/example.com/box/threshold", "2"),
    "a mirror": lambda place: write(place.trust / "mirror.d" / "example.com.name", "example.org"),
    "an accepted image": lambda place: write(place.trust / "unsigned.d" / ("0" * 64), "x"),
    "a record of admitted versions": accept_newer,
    "a mark of a build": lambda place: write(place.store / "built" / manifest(place), ""),
    "a mark of an archive": lambda place: write(place.store / "archives" / manifest(place), ""),
    "another signature": sign_again,
    "all signatures are gone": lambda place: (place.store / "referrers" / manifest(place)).unlink(),
    # The image.
    "another image has the name": move_name,
    "the image is removed": lambda place: main(["rm", NAME]),
    "its manifest is removed": lambda place: (place.store / "blobs" / "sha256" / manifest(place)).unlink(),
    "its tree is removed": lambda place: shutil.rmtree(tree(place).parent),
    "its tree is of another boot": lambda place: write(tree(place).parent / "boot", "x"),
    "a file is changed": change_in_tree,
    "a file is added": lambda place: write(tree(place) / "new", ""),
    "a mode is changed": lambda place: (tree(place) / "content").chmod(0o4755),
    "a file is replaced": lambda place: (tree(place) / "bin" / "sh").unlink(),
    # The configuration.
    "a configuration appears": lambda place: write(place.config.parent / "config.yaml", "{}"),
    "the user's directory": lambda place: write(place.config / "pumice" / "net.d" / "x", "x"),
    "the layout of the store": lambda place: touch(place.store / "version"),
    # The plan.
    "the plan is damaged": lambda place: newest(place.store / "plans").write_bytes(b"x"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_undoes_the_plan(place: Place, change: str) -> None:
    CHANGES[change](place)
    assert not place.has_plan()


def test_a_key_that_is_revoked_stops_the_next_run(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    fingerprint = newest(place.trust / "prefix.d" / "example.com").name
    assert main(["trust", "revoke", fingerprint, "--reason", "stolen"]) == 0
    assert place.run() == 7
    assert "stolen" in capsys.readouterr().err


def test_an_expired_key_stops_the_next_run(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    key = signed_images.key().public_key
    tomorrow = int(time.time()) + 2 * 86400
    policy_edit.add_key(PolicyDirectory("user", place.trust), key, "example.com", expires=tomorrow)
    assert place.run() == 0
    assert place.has_plan()
    monkeypatch.setattr(time, "time", lambda: tomorrow + 86401.0)
    assert not place.has_plan()
    monkeypatch.setattr(time, "time", lambda: 1.0)
    assert not place.has_plan()


@pytest.mark.parametrize("variable", circumstances.VARIABLES)
def test_every_variable_belongs_to_the_plan(
    place: Place, variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "other"))
    assert not place.has_plan()


def test_the_switch_takes_the_usual_way(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(circumstances.SWITCH, "0")
    assert not place.has_plan()


@pytest.mark.parametrize(
    "words",
    [
        ["--network", "none", NAME, "pwd"],
        ["--network", "host", NAME, "ls"],
        ["--network", "host", NAME],
        ["--network", "host", "-u", "1", NAME, "pwd"],
    ],
)
def test_another_command_has_another_plan(place: Place, words: list[str]) -> None:
    assert not place.has_plan(words)


def test_further_arguments_have_the_same_plan(place: Place) -> None:
    assert place.has_plan([*COMMAND, "more", "words"])


def test_a_mount_is_looked_up_again(place: Place) -> None:
    (place.folder / "a").mkdir()
    (place.folder / "b").mkdir()
    (place.folder / "link").symlink_to("a")
    words = ["-v", "./link:/data", *COMMAND]
    assert place.run(words) == 0
    assert place.has_plan(words)
    (place.folder / "link").unlink()
    assert not place.has_plan(words)
    (place.folder / "link").symlink_to("b")
    assert not place.has_plan(words)


@pytest.mark.parametrize("option", ["--allow-unsigned", "--verify=full", "--as=example.com/box:1"])
def test_no_plan_is_made_with_options_that_are_not_read(place: Place, option: str) -> None:
    shutil.rmtree(place.store / "plans")
    assert place.run([option, *COMMAND]) == 0
    assert not (place.store / "plans").exists()


def test_no_plan_is_made_of_a_run_with_a_warning(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(place.store / "plans")
    assert place.run(["--stage1", "fly", "--shm-size", "1m", *COMMAND]) == 0
    assert "--shm-size" in capsys.readouterr().err
    assert not (place.store / "plans").exists()


# Nothing is read that is not known -----------------------------------------------------------------

SPY = """
import json, os, sys
from pumice.cli.main import main
paths, names = [], set()

class Spy(dict):
    def __getitem__(self, name):
        names.add(name)
        return super().__getitem__(name)
    def get(self, name, default=None):
        names.add(name)
        return super().get(name, default)
    def __contains__(self, name):
        names.add(name)
        return super().__contains__(name)

def hook(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], str):
        paths.append(os.path.abspath(arguments[0]))

os.environ = Spy(os.environ)
sys.addaudithook(hook)
code = main(sys.argv[1:])
sys.stdout.write(json.dumps([code, sorted(set(paths)), sorted(names)]))
"""

UNWATCHED_FILES = (
    # The process itself, which the key describes.
    *("/proc/self/status", "/proc/self/cgroup", "/proc/self/fd/", "/proc/sys/kernel/random/boot_id"),
    *("/proc/self/mountinfo", "/proc/self/oom_score_adj"),
    # Control groups: where there are some belongs to the key, and the group of this container is created.
    "/sys/fs/cgroup/",
)
UNWATCHED_VARIABLES = {
    *("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "PUMICE_DEBUG"),
    *("LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES"),
}
"""They change how something is printed, but a run by plan prints nothing."""
IN_STORE = ("locks/gc", "plans/", "tmp/", "seccomp/", "trees/", "trust", "refs", "blobs/sha256/")
"""Files of the store that are locks, caches by content, the tree, or blobs by digest."""


@pytest.mark.parametrize("stage1", ["builtin", "bwrap", "runc"])
def test_every_file_and_variable_that_a_run_reads_is_known(place: Place, stage1: str) -> None:
    if stage1 != "builtin":
        peers.need(stage1)
    words = ["--stage1", stage1, *COMMAND]
    assert place.run(words) == 0
    process = subprocess.run(
        [sys.executable, "-c", SPY, "run", *words],
        env={**os.environ, circumstances.SWITCH: "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    code, paths, names = json.loads(process.stdout.splitlines()[-1])
    assert code == 0
    plan = start._find_plan(words)
    assert plan is not None
    watched = {subject for _, subject, _ in plan.witnesses}
    unknown = [path for path in paths if not is_known(path, watched, place)]
    assert unknown == []
    unknown_names = set(names) - set(circumstances.VARIABLES) - UNWATCHED_VARIABLES - {circumstances.SWITCH}
    assert unknown_names == set()


def is_known(path: str, watched: set[str], place: Place) -> bool:
    if path in watched or any(path.startswith(f"{directory}/") for directory in watched):
        return True
    if path.startswith(str(place.store)):
        return path[len(str(place.store)) + 1 :].startswith(IN_STORE)
    installed = (sys.prefix, sys.base_prefix, str(Path(plans.__file__).parents[3]))
    return path.startswith((*UNWATCHED_FILES, *installed)) or path.endswith((".py", ".pyc"))
