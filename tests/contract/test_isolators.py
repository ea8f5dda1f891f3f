"""The table of isolators: each stage 1 honors what it claims to, which the program sees, or reports it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from pumice.formats import oci
from pumice.runtime.isolation.isolators import ISOLATORS
from pumice.store.home import Home
from tests.support import images, peers, people

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

    from tests.support.people import Person


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with people.person(request.param) as someone:
        with Home(someone.home / "store") as home:
            config = oci.RunConfig(entrypoint=("sh", "-c"))
            images.make(home, [images.shell()], name="box:1", config=config)
        (someone.home / "profile.json").write_text(json.dumps(REFUSES_MKDIR))
        someone.give(someone.home)
        yield someone


REFUSES_MKDIR = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5}],
}
STATUS = "while read a b; do [ $a != {}: ] || echo $b; done < /proc/self/status"
PROBES = {
    "--cap-add, --cap-drop": (
        ("--cap-add", "sys_chroot", "--cap-drop", "CAP_KILL,SET*"),
        STATUS.format("CapEff"),
        f"{1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 10 | 1 << 18:016x}",
    ),
    "--security-opt seccomp=": (
        ("--security-opt", "seccomp=profile.json"),
        "mkdir /tmp/x 2>&1 || :",
        "mkdir: can't create directory '/tmp/x': Input/output error",
    ),
    "--security-opt no-new-privileges=false": (
        ("--security-opt", "no-new-privileges=false"),
        STATUS.format("NoNewPrivs"),
        "0",
    ),
    "--ulimit": (("--ulimit", "nofile=100:200"), "ulimit -n; ulimit -Hn", "100\n200"),
    "--oom-score-adj": (("--oom-score-adj", "777"), "cat /proc/self/oom_score_adj", "777"),
    "--device": (
        ("--device", "/dev/full:/dev/mine"),
        "{ echo x > /dev/mine; } 2>&1 || :",
        "sh: write error: No space left on device",
    ),
    "--tmpfs": (
        ("--tmpfs", "/scratch:size=1m,mode=0700,exec"),
        "stat -c %a /scratch; df -k /scratch | tail -1 | { read a b c; echo $b; }",
        "700\n1024",
    ),
    "--tmpfs /dev/…": (
        ("--tmpfs", "/dev/scratch"),
        "busybox cp /bin/busybox /dev/scratch/true; /dev/scratch/true 2>/dev/null || echo refused",
        "refused",
    ),
    "--shm-size": (
        ("--shm-size", "2m"),
        "df -k /dev/shm | tail -1 | { read a b c; echo $b; }",
        "2048",
    ),
    "--read-only": (("--read-only",), "touch /x 2>/dev/null || echo refused", "refused"),
    "--hostname": (
        ("--hostname", "web-1", "--add-host", "db:10.9.8.7"),
        "hostname; while read a b; do [ $b != web-1 -a $b != db ] || echo $a; done < /etc/hosts",
        "web-1\n10.9.8.7\n127.0.1.1",
    ),
    "--sysctl": (("--sysctl", "kernel.msgmax=4096"), "cat /proc/sys/kernel/msgmax", "4096"),
    "--security-opt unmask=": (
        ("--security-opt", "unmask=/proc/interrupts"),
        "head -c 4 /proc/interrupts | wc -c",
        "4",
    ),
}
ELSEWHERE = {
    "--cap-add NET_… with --network host": "test_isolator_coverage.py",
    "--cap-add NET_… with another network": "test_isolator_coverage.py",
    "--cap-add MKNOD, SYS_TIME, …": "test_isolator_coverage.py",
    "--memory": "control groups",
    "--cpus": "control groups",
    "--cpu-shares": "control groups",
    "--pids-limit": "control groups",
    "--security-opt apparmor=": "refused where AppArmor is not enabled",
    "--security-opt label=": "ignored where SELinux is not enabled",
    "--userns": "ids",
    "--volume": "only kvm does not share them",
    "--volume :bind": "volumes",
    "--volume :z": "below, in all its spellings",
    "--tty": "terminals have tests of their own",
    "--network host": "only kvm cannot have it",
    "resource/block-bandwidth, resource/block-iops": "App Container images",
    "--pid pod": "pods of several apps",
    "eventHandlers": "App Container images",
    "socketActivated": "App Container images",
    "socketActivated with --pid pod": "App Container images",
}


@pytest.fixture(params=["builtin", "bwrap", "runc", "fly"])
def stage1(request: pytest.FixtureRequest) -> str:
    """Return the name of a stage 1, also of the one that shares most with the host."""
    if request.param in ("bwrap", "runc"):
        peers.need(request.param)
    return str(request.param)


def run(person: Person, stage1: str, *arguments: str) -> CompletedProcess[str]:
    return person.pumice("run", "--progress", "none", "--stage1", stage1, *arguments)


@pytest.mark.parametrize(
    "words",
    [
        ("--volume", "{path}:/mnt:z"),
        ("--volume", "{path}:/mnt:ro,Z"),
        ("--volume", "named:/mnt:Z"),
        ("--mount", "type=bind,source={path},target=/mnt,relabel=shared"),
    ],
)
def test_relabeling_of_volumes_is_reported(person: Person, stage1: str, words: tuple[str, str]) -> None:
    option, value = words
    arguments = (option, value.format(path=person.home), "box:1", "echo started")
    process = run(person, stage1, *arguments)
    assert (process.returncode, process.stdout) == (0, "started\n"), process.stderr
    assert "--volume :z is ignored: the files keep their SELinux labels" in process.stderr
    process = run(person, stage1, "--strict", *arguments)
    assert (process.returncode, process.stdout) == (11, "")
    assert "--volume :z would be ignored" in process.stderr


def test_every_isolator_has_a_test() -> None:
    assert {isolator.option for isolator in ISOLATORS} == PROBES.keys() | ELSEWHERE.keys()


@pytest.mark.parametrize("option", sorted(PROBES))
def test_isolator_is_honored_or_reported(person: Person, stage1: str, option: str) -> None:
    isolator = next(isolator for isolator in ISOLATORS if isolator.option == option)
    options, script, expected = PROBES[option]
    if stage1 in isolator.ignored:
        process = run(person, stage1, *options, "box:1", "true")
        assert process.returncode == 0, process.stderr
        assert f"{option} is ignored: {isolator.ignored[stage1]}" in process.stderr
        process = run(person, stage1, "--strict", *options, "box:1", "echo started")
        assert (process.returncode, process.stdout) == (11, "")
        assert f"{option} would be ignored" in process.stderr
        return
    if stage1 in isolator.modified:
        process = run(person, stage1, *options, "box:1", "true")
        assert f"{option} is modified: {isolator.modified[stage1]}" in process.stderr
        return
    process = run(person, stage1, *options, "box:1", script)
    assert process.stdout.rstrip("\n") == expected, process.stderr
    assert process.returncode == 0
    assert "ignored" not in process.stderr


def test_shared_memory_has_the_size_of_podman_by_default(person: Person, stage1: str) -> None:
    if stage1 == "fly":
        pytest.skip("it has the host's")
    process = run(person, stage1, "box:1", "df -k /dev/shm | tail -1 | { read a b c; echo $b; }")
    assert process.stdout == "65536\n", process.stderr


def test_capabilities_that_are_named_are_also_those_of_other_users(person: Person) -> None:
    options = ("--cap-add", "NET_BIND_SERVICE", "--user", "33")
    process = run(person, "builtin", *options, "box:1", STATUS.format("CapEff"))
    assert process.stdout == f"{1 << 10:016x}\n", process.stderr
    process = run(person, "builtin", "--cap-add", "ALL", "--user", "33", "box:1", STATUS.format("CapEff"))
    assert process.stdout == f"{0:016x}\n", process.stderr


def test_chroot_works_with_its_capability_only(person: Person, stage1: str) -> None:
    script = "busybox chroot / /bin/sh -c 'echo changed' 2>/dev/null || echo refused"
    assert run(person, stage1, "box:1", script).stdout == "refused\n"
    assert run(person, stage1, "--cap-add", "SYS_CHROOT", "box:1", script).stdout == "changed\n"


def test_namespaces_can_be_nested_with_options_only(person: Person) -> None:
    script = "busybox unshare -Ur busybox mount -t proc none /proc 2>/dev/null && echo nested || echo refused"
    assert run(person, "builtin", "box:1", script).stdout == "refused\n"
    options = ("--cap-add", "SYS_ADMIN", "--security-opt", "unmask=ALL")
    script = "busybox unshare -U true && echo nested"
    process = run(person, "builtin", *options, "box:1", script)
    assert process.stdout == "nested\n", process.stderr


def test_dns_options_replace_lines_of_resolv_conf(person: Person, stage1: str) -> None:
    options = ("--dns", "9.9.9.9", "--dns", "2620:fe::9", "--dns-search", "lan", "--dns-option", "ndots:2")
    process = run(person, stage1, *options, "box:1", "cat /etc/resolv.conf")
    lines = process.stdout.splitlines()
    assert lines[-4:] == ["nameserver 9.9.9.9", "nameserver 2620:fe::9", "search lan", "options ndots:2"]
    assert sum(line.startswith("nameserver") for line in lines) == 2


def test_mounts_take_the_syntax_of_podman(person: Person, stage1: str) -> None:
    folder = person.home / "data"
    folder.mkdir(exist_ok=True)
    (folder / "file").write_text("content\n")
    person.give(folder)
    options = (
        *("--mount", f"type=bind,src={folder},dst=/data,ro"),
        *("--mount", "type=tmpfs,destination=/scratch,tmpfs-size=1m"),
    )
    script = "cat /data/file; touch /data/x 2>/dev/null || echo refused; touch /scratch/x && echo written"
    process = run(person, stage1, *options, "box:1", script)
    assert process.stdout == "content\nrefused\nwritten\n", process.stderr


WRONG = {
    "capability": (("--cap-add", "SYS_CHROT"), "unknown capability 'SYS_CHROT'", "did you mean SYS_CHROOT?"),
    "both": (("--cap-add", "KILL", "--cap-drop", "KILL"), "cannot both add and drop", "omit one"),
    "memory": (("--memory", "lots"), "--memory: 'lots' is not a size", "such as 512m"),
    "too little": (("-m", "1m"), "--memory: '1m' is too little", "the least is 6m"),
    "cpus": (("--cpus", "all"), "--cpus: 'all' is not a number of processors", "such as 1.5"),
    "pids": (("--pids-limit", "-2"), "--pids-limit: '-2' is not a number from -1 to 4194304", ""),
    "ulimit": (("--ulimit", "files=3"), "unknown resource limit 'files'", "use one of as, core"),
    "ulimit value": (("--ulimit", "nofile=many"), "'nofile=many' is not a limit", "nofile=SOFT[:HARD]"),
    "ulimit order": (("--ulimit", "nofile=9:3"), "the soft limit of 'nofile=9:3' is higher", ""),
    "security option": (("--security-opt", "selinux=x"), "unknown option 'selinux=x'", "use seccomp=FILE"),
    "profile": (
        ("--security-opt", "seccomp=/no/such"),
        "cannot read the seccomp profile",
        "seccomp=unconfined",
    ),
    "device": (("--device", "/dev/none"), "--device: '/dev/none' does not exist", "/dev"),
    "no device": (("--device", "/etc/passwd"), "--device: '/etc/passwd' is not a device", ""),
    "device target": (("--device", "/dev/full:/etc/x"), "the path '/etc/x' in the container", ""),
    "read-only device": (("--device", "/dev/full:/dev/full:r"), "would be read-only or write-only", ":rw"),
    "tmpfs": (("--tmpfs", "/x:huge"), "unknown option 'huge' of a tmpfs", "use size=N"),
    "tmpfs place": (("--tmpfs", "x"), "the mount point 'x' is not an absolute path", ""),
    "mount": (
        ("--mount", "type=nfs,dst=/x"),
        "'type=nfs,dst=/x' is not a mount",
        "use type=bind|volume|tmpfs|image",
    ),
    "mount option": (
        ("--mount", "type=bind,where=/x"),
        "unknown option where of type=bind",
        "use type=bind|volume|tmpfs|image",
    ),
    "hostname": (("--hostname", "a b"), "--hostname: 'a b' is not a host name", "letters"),
    "host": (("--add-host", "db"), "--add-host: '' is not an IP address", ""),
    "dns": (("--dns", "nine"), "--dns: 'nine' is not an IP address", ""),
    "sysctl": (("--sysctl", "kernel.panic=1"), "'kernel.panic' is a setting of the whole machine", "net.*"),
    "sysctl of the host": (
        ("--network", "host", "--sysctl", "net.ipv4.ip_forward=1"),
        "would change the network of the host",
        "--network none",
    ),
    "userns": (("--userns", "private"), "--userns cannot be 'private'", "use one of auto, host, keep-id"),
    "shm": (("--shm-size", "-1"), "--shm-size: '-1' is not a size", "such as 64m"),
    "oom": (("--oom-score-adj", "2000"), "'2000' is not a number from -1000 to 1000", ""),
    "swap": (("--memory", "64m", "--memory-swap", "128m"), "--memory-swap differs from --memory", "omit"),
    "AppArmor": (("--security-opt", "apparmor=docker-default"), "AppArmor", "omit --security-opt apparmor="),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_wrong_values_are_refused_with_valid_ones(person: Person, name: str) -> None:
    if name == "AppArmor" and os.path.exists("/sys/module/apparmor"):  # noqa: PTH110 - plain
        pytest.skip("this machine has AppArmor")
    options, message, hint = WRONG[name]
    process = run(person, "builtin", *options, "box:1", "echo started")
    assert process.returncode == (11 if name == "AppArmor" else 2), process.stderr
    assert message in process.stderr
    assert hint in process.stderr
    assert process.stdout == ""
