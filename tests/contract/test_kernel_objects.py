"""Objects of the kernel that namespaces do not isolate: key rings and abstract sockets."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from pumice.formats import oci
from pumice.formats.tar import Entry
from pumice.store.home import Home
from tests.support import images, people

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

PROBE = r"""
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
int main(int argc, char **argv) {
  if (argc == 1) {
    printf("%ld\n", syscall(SYS_keyctl, 0, -3, 0));
    return 0;
  }
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path + 1, argv[1]);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  int result = connect(fd, (void *)&address, sizeof(sa_family_t) + 1 + strlen(argv[1]));
  printf("%s\n", result ? strerrorname_np(errno) : "connected");
  return 0;
}
"""


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    with people.person(request.param) as someone:
        content = images.shell() | {"bin/probe": images.compiled(tmp_path_factory.mktemp("probe"), PROBE)}
        with Home(someone.home / "store") as home:
            images.make(home, [content], name="box:1", config=oci.RunConfig(entrypoint=("sh", "-c")))
        someone.give(someone.home)
        yield someone


def test_session_keyring_is_another_for_every_container(person: Person) -> None:
    options = ("--security-opt", "seccomp=unconfined")
    rings = {person.pumice("run", *options, "box:1", "probe").stdout.strip() for _ in range(2)}
    assert len(rings) == 2
    assert all(ring.isdigit() for ring in rings)


def test_abstract_sockets_of_the_host_cannot_be_reached(person: Person) -> None:
    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    if release < (6, 12):
        pytest.skip("the kernel cannot isolate them")
    name = f"pumice-test-{os.getpid()}-{person.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        process = person.pumice("run", "--network", "host", "box:1", f"probe {name}")
        assert process.stdout == "EPERM\n", process.stderr
        process = person.pumice("run", "--network", "host", "--stage1", "fly", "box:1", f"probe {name}")
        assert process.stdout == "connected\n", process.stderr


def test_killed_by_the_profile_is_explained(person: Person, stage1: str) -> None:
    rule = '{"names": ["keyctl"], "action": "SCMP_ACT_KILL_PROCESS"}'
    profile = person.home / "kills.json"
    profile.write_text(f'{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{rule}]}}')
    profile.chmod(0o644)
    options = ("--stage1", stage1, "--security-opt", f"seccomp={profile}")
    process = person.pumice("run", *options, "box:1", "exec probe")
    assert process.returncode == 128 + 31, process.stderr
    if person.name == "root":
        assert "its seccomp profile does not allow the system call keyctl" in process.stderr
    else:
        assert "pass --explain to see which" in process.stderr


def test_device_nodes_of_an_image_cannot_be_opened(person: Person, stage1: str) -> None:
    content = images.shell()
    content["srv/kernel"] = Entry("srv/kernel", "char", 0o666, device=(1, 11))
    with person.store() as home:
        images.make(home, [content], name="node:1", config=oci.RunConfig(entrypoint=("sh", "-c")))
    script = "head -c 1 /srv/kernel >/dev/null 2>&1 && echo opened || echo refused"
    process = person.pumice("run", "--stage1", stage1, "node:1", script)
    assert process.stdout == "refused\n", process.stderr
