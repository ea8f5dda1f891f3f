"""``pumice run --stage1 kvm``: few starts, because each takes seconds where KVM does not work."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.formats import oci
from pumice.formats.tar import Entry
from pumice.store.home import Home
from tests.support import guests, images, people

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="kvm is only for x86-64")


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with people.person(request.param) as someone:
        content = images.shell()
        content["srv/own"] = Entry("srv/own", "dir", 0o700, uid=33, gid=34)
        with Home(someone.home / "store") as home:
            config = oci.RunConfig(entrypoint=("sh", "-c"), env=("GREETING=hello",))
            images.make(home, [content], name="box:1", config=config)
        yield guests.with_kernel(someone)


SCRIPT = """
id -u; id -g; id -G; pwd; echo $GREETING; echo oops >&2; busybox uname -n; busybox uname -r
while read a b; do case $a in CapEff:|NoNewPrivs:|Seccomp:) echo $a $b;; esac; done < /proc/self/status
cat /data/file; touch /data/new 2>/dev/null || echo refused; busybox stat -c %u:%g /srv/own
touch /srv/x 2>/dev/null || echo refused; touch /tmp/x && echo writable; echo by name > /dev/stdout
echo changed > /shared/file && touch /shared/new; busybox stat -c %u:%g /shared/new
read line; echo got $line; ls /dev; ulimit -n
cat /proc/kcore > /tmp/core 2>/dev/null; busybox wc -c < /tmp/core
busybox mount -t tmpfs none /tmp 2>/dev/null || echo refused; echo $$; sleep 600 & exit 42
"""


def test_a_program_runs_as_in_other_stages(person: Person) -> None:
    volume, shared = person.home / "data", person.home / "shared"
    for folder in (volume, shared):
        folder.mkdir()
        (folder / "file").write_text("from outside\n")
        (folder / "file").chmod(0o666)
        folder.chmod(0o777)
        person.give(folder)
    process = person.pumice(
        *("run", "--progress", "none", "--stage1", "kvm", "--network", "none", "--user", "web"),
        *(
            "--workdir",
            "/new/place",
            "--volume",
            f"{volume}:/data:ro",
            "--volume",
            f"{shared}:/shared",
            "--hostname",
            "guest-1",
            "--read-only",
        ),
        *("--ulimit", "nofile=100:200", "box:1", SCRIPT),
        input="typed\n",
    )
    assert process.returncode == 42, process.stderr
    lines = process.stdout.splitlines()
    assert lines[:6] == ["33", "34", "34 29 50", "/new/place", "hello", "guest-1"]
    assert "cloud-amd64" in lines[6]
    assert lines[7:10] == [f"CapEff: {0:016x}", "NoNewPrivs: 1", "Seccomp: 2"]
    assert lines[10:16] == ["from outside", "refused", "33:34", "refused", "writable", "by name"]
    assert lines[16:18] == ["33:34", "got typed"]
    devices = [
        "fd",
        "full",
        "null",
        "ptmx",
        "pts",
        "random",
        "shm",
        "stderr",
        "stdin",
        "stdout",
        "tty",
        "urandom",
    ]
    assert lines[18:31] == [*devices, "zero"]
    assert lines[31:] == ["100", "0", "refused", "1"]
    assert process.stderr == "oops\n"
    assert (shared / "file").read_text() == "changed\n"
    assert (shared / "new").exists()


def test_signals_sizes_and_big_outputs(person: Person) -> None:
    if person.name == "ordinary":
        pytest.skip("the same as for root")
    script = (
        "busybox nproc; while read a b c; do case $a in MemTotal:) echo $b;; esac; done < /proc/meminfo;"
        " trap 'busybox dd if=/dev/zero bs=65536 count=64 2>/dev/null; exit 9' TERM; echo ready >&2;"
        " while :; do sleep 0.1; done"
    )
    options = ("--stage1", "kvm", "--network", "none", "--memory", "200m", "--cpus", "1.5")
    running = subprocess.Popen(
        person.command("run", "--progress", "none", *options, "box:1", script),
        env=person.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert running.stderr is not None
        messages = [running.stderr.readline() for _ in range(3)]
        assert messages[2] == b"ready\n", messages
        assert b"--memory is modified: it is the size of the virtual machine" in messages[0]
        running.send_signal(signal.SIGTERM)
        out, errors = running.communicate(timeout=120)
    finally:
        running.kill()
    assert running.returncode == 9, errors
    processors, memory, zeros = out.split(b"\n", 2)
    assert processors == b"2"
    assert 100_000 < int(memory) < 200 * 1024
    assert zeros == bytes(4 << 20)


REFUSED = {
    "a device": (("--device", "/dev/full"), "--device would be ignored: the virtual machine has a kernel"),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_a_machine_cannot_have_is_refused_with_strict(person: Person, name: str) -> None:
    options, reason = REFUSED[name]
    process = person.pumice(
        *("run", "--stage1", "kvm", "--strict", "--network", "none", *options, "box:1", "true"),
    )
    assert process.returncode == 11
    assert reason in process.stderr


def test_name_servers_are_those_of_the_user_or_of_the_machine_s_network(person: Person) -> None:
    texts = []
    for options in (("--dns", "9.9.9.9", "--dns-search", "lan"), ("--dns-search", "lan")):
        process = person.pumice(
            *("run", "--stage1", "kvm", "--network", "host", *options, "box:1", "cat /etc/resolv.conf"),
            env={"PUMICE_KERNEL": str(person.home / "kernel")},
        )
        assert process.returncode == 0, process.stderr
        texts.append([line for line in process.stdout.splitlines() if line.startswith(("name", "search"))])
    assert texts == [["nameserver 9.9.9.9", "search lan"], ["search lan", "nameserver 10.0.2.3"]]


def test_volumes_are_copied_where_there_is_one_id_or_no_server() -> None:
    with people.person("stranger") as stranger:
        with Home(stranger.home / "store") as home:
            images.make(home, [images.shell()], name="box:1", config=oci.RunConfig(entrypoint=("sh", "-c")))
        volume = stranger.home / "data"
        volume.mkdir()
        stranger.give(stranger.home)
        process = stranger.pumice(
            *("run", "--stage1", "kvm", "--strict", "--network", "none", "--volume", f"{volume}:/data"),
            *("box:1", "true"),
        )
    assert process.returncode == 11
    assert "--volume would be modified: the virtual machine gets a copy" in process.stderr


def test_a_small_machine_is_refused(person: Person) -> None:
    process = person.pumice(
        *("run", "--stage1", "kvm", "--network", "none", "--memory", "8m", "box:1", "true"),
    )
    assert process.returncode == 11
    assert "the virtual machine needs 128 MiB of --memory" in process.stderr


def test_a_missing_kernel_is_named(person: Person) -> None:
    empty = person.home / "empty"
    empty.mkdir(exist_ok=True)
    process = person.pumice(
        *("run", "--stage1", "kvm", "--network", "none", "box:1", "true"), env={"PUMICE_KERNEL": str(empty)}
    )
    assert process.returncode == 11
    assert f"there is no kernel for the virtual machine below {empty}" in process.stderr
    assert "install linux-image-cloud-amd64" in process.stderr
    (empty / "boot").mkdir(exist_ok=True)
    (empty / "lib/modules/1/kernel").mkdir(parents=True, exist_ok=True)
    (Path(empty) / "boot/vmlinuz-1").write_bytes(b"MZ" + bytes(1000))
    process = person.pumice(
        *("run", "--stage1", "kvm", "--network", "none", "box:1", "true"), env={"PUMICE_KERNEL": str(empty)}
    )
    assert process.returncode == 11
    assert "is not a kernel for x86-64" in process.stderr
    assert process.stderr.count("error: ") == 1
