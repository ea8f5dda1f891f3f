"""Images that try to escape from a stage 1 by their configuration and content, without running code."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pumice.errors import SandboxError
from pumice.formats import oci
from pumice.formats.tar import Entry
from pumice.runtime import run as runtime
from pumice.runtime import stage1 as stages
from pumice.runtime.container import Container, Mount, Process
from pumice.store.home import Home
from tests.support import images, people

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

    from tests.support.people import Person

SHELL = ("sh", "-c")
BIND = "\0--bind\0/\0/host\0--tmpfs\0/x"


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with people.person(request.param) as someone:
        yield someone


def run(
    person: Person,
    stage1: str,
    *options: str,
    config: oci.RunConfig,
    content: images.Files | None = None,
    script: str = "[ -e /host ] && echo out || echo in",
) -> CompletedProcess[str]:
    """Run a script in an image with another config and additional content."""
    with person.store() as home:
        images.make(home, [images.shell() | (content or {})], name="hostile:1", config=config)
    return person.pumice(
        *("run", "--progress", "none", "--stage1", stage1, *options, "--entrypoint", "sh"),
        *("hostile:1", "-c", script),
    )


PASSWD = "root:x:0:0:root:/root:\nmad:x:0:0::/{}:\n"
INJECTIONS: dict[str, tuple[oci.RunConfig, images.Files]] = {
    "WorkingDir": (oci.RunConfig(working_dir=f"/{BIND}"), {}),
    "/etc/passwd": (oci.RunConfig(user="mad"), {"etc/passwd": PASSWD.format(BIND)}),
    "Volumes": (oci.RunConfig(volumes={f"/x{BIND}": oci.Empty()}), {}),
    "User": (oci.RunConfig(user=f"0{BIND}"), {}),
    "Env": (oci.RunConfig(env=(f"A={BIND}",)), {}),
    "Cmd": (oci.RunConfig(cmd=(f"x{BIND}",)), {}),
    "Entrypoint": (oci.RunConfig(entrypoint=(f"x{BIND}",)), {}),
    "StopSignal": (oci.RunConfig(stop_signal="TERM\n"), {}),
    "ExposedPorts": (oci.RunConfig(exposed_ports={"80\0": oci.Empty()}), {}),
}


@pytest.mark.parametrize("field", sorted(INJECTIONS))
def test_text_of_an_image_never_becomes_an_option(person: Person, stage1: str, field: str) -> None:
    config, content = INJECTIONS[field]
    process = run(person, stage1, "--read-only", config=config, content=content)
    assert (process.returncode, process.stdout) == (10, ""), process.stderr
    assert f"the image's {field}" in process.stderr
    assert "contains a control character" in process.stderr


@pytest.mark.parametrize("field", ["directory", "environment", "mount", "argument"])
def test_a_nul_in_any_field_is_refused(stage1: str, tmp_path: Path, field: str) -> None:
    """A second line of defense, in case the caller of a stage 1 does not check its arguments."""
    (tmp_path / "root").mkdir()
    process = Process(
        arguments=("/bin/sh", BIND if field == "argument" else "x"),
        environment={"A": BIND if field == "environment" else "x"},
        directory=f"/{BIND}" if field == "directory" else "/",
    )
    mounts = (Mount("", f"/x{BIND}"),) if field == "mount" else ()
    container = Container(root=str(tmp_path / "root"), process=process, mounts=mounts)
    with pytest.raises(SandboxError):
        runtime.execute(container, stages.choose(stage1), tmp_path)


LINKS = {
    "a volume below a link": (oci.RunConfig(volumes={"/evil/volume": oci.Empty()}), "evil", "{}"),
    "a volume above the root": (oci.RunConfig(volumes={"/../oldroot{}/volume": oci.Empty()}), "", ""),
    "a volume in another root": (oci.RunConfig(volumes={"/proc/self/root{}/v": oci.Empty()}), "", ""),
    "a volume through proc": (oci.RunConfig(volumes={"/proc/1/root/oldroot{}/v": oci.Empty()}), "", ""),
    "a volume through dev": (oci.RunConfig(volumes={"/dev/fd/3/../..{}/v": oci.Empty()}), "", ""),
    "a directory below a link": (oci.RunConfig(working_dir="/evil/directory"), "evil", "{}"),
    "a directory in an old root": (oci.RunConfig(working_dir="/evil/directory"), "evil", "/oldroot{}"),
    "a directory through a descriptor": (oci.RunConfig(working_dir="/proc/self/fd/8{}"), "", ""),
    "hosts below a link": (oci.RunConfig(), "etc", "/oldroot{}"),
    "hosts as a link": (oci.RunConfig(), "etc/hosts", "/oldroot{}/hosts"),
    "tmp as a link": (oci.RunConfig(), "tmp", "/oldroot{}/tmp"),
    "proc as a link": (oci.RunConfig(), "proc", "/oldroot{}"),
    "dev as a link": (oci.RunConfig(), "dev", "../../../oldroot{}"),
    "sys as a link": (oci.RunConfig(), "sys", "{}"),
    "a link in circles": (oci.RunConfig(volumes={"/evil/x": oci.Empty()}), "evil", "evil"),
}


@pytest.mark.parametrize("name", sorted(LINKS))
def test_links_of_an_image_cannot_redirect_a_mount(
    person: Person, stage1: str, outside: Path, name: str
) -> None:
    config, link, target = LINKS[name]
    config = oci.RunConfig(
        volumes={path.format(outside): oci.Empty() for path in config.volumes},
        working_dir=config.working_dir.format(outside),
    )
    content: images.Files = {}
    if link:
        content[link] = Entry(link, "symlink", 0o777, link=target.format(outside))
    if link == "etc":
        content |= {"etc/passwd": content[link], "etc/group": content[link]}
        del content["etc/passwd"], content["etc/group"]
    files = {path: item for path, item in images.shell().items() if link != "etc" or path[:4] != "etc/"}
    with person.store() as home:
        images.make(home, [files | content], name="links:1", config=config)
    process = person.pumice(
        *("run", "--progress", "none", "--stage1", stage1, "--read-only", "--user", "0"),
        *("--entrypoint", "sh", "links:1", "-c", "echo ran"),
    )
    assert list(outside.iterdir()) == []
    assert "should not" not in process.stderr
    assert (process.returncode, process.stdout) == (0, "ran\n") or process.returncode in (10, 11), (
        process.stderr
    )


def test_links_in_a_volume_cannot_redirect_a_later_mount(person: Person, stage1: str, outside: Path) -> None:
    """Files that a program created in a volume are as hostile as its image."""
    shared = person.home / "shared"
    shutil.rmtree(shared, ignore_errors=True)
    shared.mkdir()
    (shared / "evil").symlink_to(f"/oldroot{outside}")
    process = run(
        person,
        stage1,
        *("--volume", f"{shared}:/data", "--volume", "/etc/os-release:/data/evil/made"),
        config=oci.RunConfig(),
    )
    assert list(outside.iterdir()) == []
    assert process.stdout in ("in\n", "")


def nodes() -> dict[str, tuple[int, int, int]]:
    """Return modes and owners of the devices of the host."""
    facts = {}
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        status = Path(f"/dev/{name}").stat()
        facts[name] = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
    return facts


def test_the_devices_of_the_host_are_not_changed(person: Person, stage1: str) -> None:
    nodes_before = nodes()
    script = (
        "for f in /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /proc/self/fd/* "
        "/proc/kcore /proc/keys /proc/interrupts; do chmod 0604 $f; chown 7:7 $f; done 2>/dev/null; "
        "echo x > /dev/null && echo usable"
    )
    content = images.shell()
    for name in ("chmod", "chown"):
        content[f"bin/{name}"] = Entry(f"bin/{name}", "symlink", 0o777, link="busybox")
    with person.store() as home:
        images.make(home, [content], name="modes:1")
    command = person.command("run", "--progress", "none", "--stage1", stage1, "modes:1", "sh", "-c", script)
    try:
        with Path(os.devnull).open("r+b") as null, Path("/dev/zero").open("r+b") as zero:
            import subprocess

            process = subprocess.run(
                command,
                env=person.environment(),
                stdin=zero,
                stdout=subprocess.PIPE,
                stderr=null,
                check=False,
            )
        assert nodes() == nodes_before
        assert b"usable" in process.stdout or stage1 == "runc"
    finally:
        for name, (mode, uid, gid) in nodes_before.items():
            Path(f"/dev/{name}").chmod(mode)
            os.chown(f"/dev/{name}", uid, gid)


KERNEL = ("debug", "tracing", "security", "config")


def test_other_mounts_below_sys_are_masked(stage1: str) -> None:
    """ramfs stands for debugfs, tracefs, bpf and pstore, which this kernel may not have."""
    with people.person("root") as root:
        with Home(root.home / "store") as home:
            images.make(home, [images.shell()], name="box:1")
        paths = [
            path
            for path in ("/sys/kernel/debug", "/sys/fs/bpf", "/sys/fs/pstore", "/sys/kernel/mm")
            if Path(path).is_dir()
        ]
        mounts = "".join(f"mount -t ramfs none {path} && echo told > {path}/secret; " for path in paths)
        search = f"find {' '.join(paths)} -name secret; echo looked"
        command = root.command(
            "run", "--progress", "none", "--stage1", stage1, "box:1", "busybox", "sh", "-c", search
        )
        import subprocess

        process = subprocess.run(
            ["unshare", "--mount", "sh", "-c", mounts + 'exec "$@"', "sh", *command],
            env=root.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.stdout == "looked\n", process.stderr


TEXT = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from("\0\n\r\t\x1b\x7f/.:-=,%$")), max_size=12
)
PATHS = st.one_of(
    TEXT.map(lambda text: f"/{text}"),
    st.sampled_from(["/proc/self/fd/3", "/dev/fd/9", "/../..", "//", "/etc/passwd/x", "/tmp/--bind", "x"]),
)
CONFIGS = st.builds(
    oci.RunConfig,
    user=st.one_of(st.sampled_from(["", "0", "web", "65532:7", "mad"]), TEXT),
    env=st.lists(st.one_of(TEXT, st.builds("{}={}".format, TEXT, TEXT)), max_size=3).map(tuple),
    volumes=st.dictionaries(PATHS, st.just(oci.Empty()), max_size=3),
    working_dir=st.one_of(st.just(""), PATHS),
    cmd=st.lists(TEXT, max_size=2).map(tuple),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=CONFIGS, home=TEXT)
def test_any_config_runs_contained_or_is_refused_in_one_sentence(
    person: Person, stage1: str, config: oci.RunConfig, home: str
) -> None:
    content: images.Files = {"etc/passwd": PASSWD.format(home)}
    process = run(person, stage1, "--read-only", config=config, content=content)
    assert "should not" not in process.stderr, process.stderr
    if process.returncode == 0:
        assert process.stdout == "in\n"
    else:
        assert process.returncode in (2, 10, 11, 126, 127), process.stderr
        assert process.stdout == ""
