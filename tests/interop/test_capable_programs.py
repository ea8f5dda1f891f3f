"""Programs of Debian that need more than the default: the options that make them work, and no fewer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import people, sampling

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

pytestmark = [pytest.mark.mirror, pytest.mark.sampled]

RECIPE = """
name: example.com/tools
version: "1"
from: {debian: bookworm}
packages: [busybox-static, openssh-server, tcpdump, postfix, buildah]
run: {command: [/bin/busybox, sh]}
"""
PREPARE = """
for name in $(busybox --list); do
  [ -e /usr/bin/$name ] || [ -e /usr/sbin/$name ] || busybox ln -s /bin/busybox /usr/bin/$name
done
sed -i s,/bin/bash,/bin/sh, /etc/passwd
"""
SSHD = """
mkdir -p /run/sshd /tmp/keys /root/.ssh; chmod 700 /root/.ssh
ssh-keygen -q -t ed25519 -N '' -f /tmp/keys/host && ssh-keygen -q -t ed25519 -N '' -f /tmp/keys/user
cp /tmp/keys/user.pub /root/.ssh/authorized_keys
/usr/sbin/sshd -e -p 2222 -h /tmp/keys/host -o UsePAM=no
options='-o ConnectionAttempts=20 -o StrictHostKeyChecking=no'
ssh $options -i /tmp/keys/user -p 2222 root@127.0.0.1 'echo logged in as $USER'
"""
TCPDUMP = """
ping -c 40 -i 0.2 127.0.0.1 > /dev/null 2>&1 &
tcpdump -Z root -i lo -c 2 -n -l icmp
"""
POSTFIX = """
cp /usr/share/postfix/master.cf.dist /etc/postfix/master.cf; touch /etc/postfix/dynamicmaps.cf
echo 'compatibility_level = 3.6
myhostname = box.example.com
mydestination = box.example.com
inet_interfaces = 127.0.0.1
maillog_file = /var/log/mail
alias_maps =' > /etc/postfix/main.cf
postfix start
printf 'Subject: hello\\n\\na message\\n' | sendmail root@box.example.com
wait_for() { n=0; until grep "$1" $2 || [ $n = 50 ]; do sleep 0.1; n=$((n+1)); done 2> /dev/null; }
wait_for 'a message' /var/mail/root
touch /tmp/answers
{ echo EHLO x; wait_for PIPELINING /tmp/answers; echo QUIT; } | nc 127.0.0.1 25 > /tmp/answers
cat /tmp/answers; postfix stop
"""
BUILDAH = """
echo root:1:65535 > /etc/subuid; echo root:1:65535 > /etc/subgid
mkdir -p /etc/containers; cd /etc/containers
echo '{"default": [{"type": "insecureAcceptAnything"}]}' > policy.json
printf '[storage]\\ndriver = "vfs"\\nrunroot = "/tmp/run"\\ngraphroot = "/tmp/graph"\\n' > storage.conf
export BUILDAH_ISOLATION=chroot HOME=/root TMPDIR=/tmp
c=$(buildah from scratch) && buildah copy -q $c /bin/busybox /bin/busybox &&
buildah run $c /bin/busybox touch /proof && cd $(buildah mount $c) && ls proof &&
buildah commit -q $c oci:/tmp/out:1 && ls /tmp/out
"""
"""The program leaves a file as proof: buildah copies what it prints, and may end before it has copied it."""
NESTED = (
    "--cap-add",
    "SETFCAP,SYS_CHROOT",
    "--security-opt",
    "seccomp=unconfined",
    "--security-opt",
    "unmask=ALL",
)
PLACES = [(stage1, name) for stage1 in ("builtin", "bwrap", "runc") for name in ("root", "ordinary")]
"""Each stage 1, as each person."""
NESTING_PLACES = [(stage1, name) for stage1, name in PLACES if stage1 != "bwrap"]
"""Where buildah works: it cannot mount the /dev of bwrap again, whose flags are locked there."""


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory, shared_home: Path) -> Path:
    folder = tmp_path_factory.mktemp("tools")
    (folder / "recipe.yaml").write_text(RECIPE)
    where = f"oci:{folder}/tools.oci:1"
    command = (sys.executable, "-m", "pumice", "build", str(folder / "recipe.yaml"), "-o", where)
    environment = {**os.environ, "PUMICE_HOME": str(shared_home)}
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return folder / "tools.oci"


@pytest.fixture(scope="module")
def persons(layout: Path) -> Iterator[dict[str, Person]]:
    """Yield root and an ordinary user, who have the image."""
    with people.person("root") as root, people.person("ordinary") as ordinary:
        for person in (root, ordinary):
            shutil.copytree(layout, person.home / "tools.oci")
            person.give(person.home)
        yield {"root": root, "ordinary": ordinary}


def run(person: Person, stage1: str, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    return person.pumice(
        *("run", "--progress", "none", "--network", "none", "--allow-unsigned", "--stage1", stage1, *options),
        *("--entrypoint", "/bin/busybox", "oci:tools.oci:1", "sh", "-c", PREPARE + script),
    )


@pytest.mark.parametrize(("stage1", "name"), sampling.sample(PLACES, 3))
def test_sshd_needs_chroot(persons: dict[str, Person], stage1: str, name: str) -> None:
    process = run(persons[name], stage1, SSHD, "--cap-add", "SYS_CHROOT")
    assert "logged in as root\n" in process.stdout, process.stderr
    process = run(persons[name], stage1, SSHD)
    assert "logged in" not in process.stdout


@pytest.mark.parametrize(("stage1", "name"), sampling.sample(PLACES, 3, seed=1))
def test_tcpdump_needs_raw_sockets(persons: dict[str, Person], stage1: str, name: str) -> None:
    process = run(persons[name], stage1, TCPDUMP, "--cap-add", "NET_RAW")
    assert process.stdout.count("ICMP echo") == 2, process.stderr
    process = run(persons[name], stage1, TCPDUMP)
    assert "ICMP" not in process.stdout
    assert "Operation not permitted" in process.stderr or "permission" in process.stderr


@pytest.mark.parametrize(("stage1", "name"), sampling.sample(PLACES, 2, seed=2))
def test_postfix_needs_chroot(persons: dict[str, Person], stage1: str, name: str) -> None:
    process = run(persons[name], stage1, POSTFIX, "--cap-add", "SYS_CHROOT")
    assert "a message\n" in process.stdout, process.stderr
    assert "250-PIPELINING" in process.stdout


@pytest.mark.parametrize(("stage1", "name"), sampling.sample(NESTING_PLACES, 2, seed=3))
def test_buildah_needs_nested_user_namespaces(persons: dict[str, Person], stage1: str, name: str) -> None:
    process = run(persons[name], stage1, BUILDAH, *NESTED)
    assert process.stdout.split() == ["proof", "blobs", "index.json", "oci-layout"], process.stderr
    process = run(persons[name], stage1, BUILDAH, *NESTED[:2])
    assert process.stdout == ""
    assert process.returncode != 0
