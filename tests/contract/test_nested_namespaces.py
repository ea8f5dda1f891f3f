"""Programs that isolate their own processes with user namespaces, inside each stage 1.

`SANDBOX` does what the sandbox of Chromium does, in the same order (its sandbox/linux/services/credentials.cc
and namespace_sandbox.cc), and stands in for it: the browser itself is too large for every run of the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pumice.formats import oci
from pumice.store.home import Home
from tests.support import images, people

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

SANDBOX = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/capability.h>
#include <unistd.h>
static void fail(const char *step) {
  printf("%s: %s\n", step, strerrorname_np(errno));
  exit(1);
}
static void put(const char *path, const char *text) {
  int fd = open(path, O_WRONLY);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) fail(path);
  close(fd);
}
static int in_fdinfo(void *unused) {
  if (chroot("/proc/self/fdinfo/") || chdir("/")) fail("chroot");
  return 0;
}
int main(void) {
  char map[64];
  int uid = getuid(), gid = getgid();
  setvbuf(stdout, 0, _IONBF, 0);
  long child = syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | 17, 0, 0, 0, 0);
  if (child < 0) fail("clone");
  if (child) {
    int status;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  }
  put("/proc/self/setgroups", "deny");
  sprintf(map, "%d %d 1", uid, uid);
  put("/proc/self/uid_map", map);
  sprintf(map, "%d %d 1", gid, gid);
  put("/proc/self/gid_map", map);
  if (getpid() != 1 || getuid() != uid) fail("ids");
  /* The process that shares this root ends at once, and with it the directory that became the root. */
  static char stack[65536];
  int other = clone(in_fdinfo, stack + sizeof stack, CLONE_FS | CLONE_VM | CLONE_VFORK | 17, 0);
  if (other < 0) fail("clone for chroot");
  waitpid(other, 0, 0);
  if (!access("/proc", F_OK) || !access("/bin", F_OK)) fail("root is not empty");
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct none[2] = {{0}};
  if (syscall(SYS_capset, &header, none)) fail("capset");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) fail("no_new_privs");
  struct sock_filter code[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog filter = {sizeof code / sizeof *code, code};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) fail("seccomp");
  if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || errno != EACCES) fail("socket");
  if (unshare(CLONE_NEWNS) == 0) fail("still privileged");
  printf("sandboxed\n");
  return 0;
}
"""
ALLOWED = ("--security-opt", "seccomp=unconfined")


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    with people.person(request.param) as someone:
        program = images.compiled(tmp_path_factory.mktemp("sandbox"), SANDBOX)
        with Home(someone.home / "store") as home:
            content = images.shell() | {"bin/sandbox": program}
            images.make(home, [content], name="browser:1", config=oci.RunConfig(cmd=("sandbox",)))
        someone.give(someone.home)
        yield someone


@pytest.mark.parametrize("user", ["0", "33"])
def test_the_sandbox_of_a_browser_works_if_system_calls_are_not_filtered(
    person: Person, stage1: str, user: str
) -> None:
    # To map root of the container, the kernel requires this capability of who creates the namespace.
    mapping = ("--cap-add", "SETFCAP") if user == "0" else ()
    options = ("--progress", "none", "--stage1", stage1, "--user", user, *mapping)
    process = person.pumice("run", *options, *ALLOWED, "browser:1")
    assert process.stdout == "sandboxed\n", process.stderr
    assert process.returncode == 0


def test_by_default_no_user_namespace_can_be_created(person: Person, stage1: str) -> None:
    process = person.pumice("run", "--progress", "none", "--stage1", stage1, "browser:1")
    assert process.returncode == 1
    assert process.stdout == ("clone: ENOSYS\n" if stage1 == "runc" else "clone: EPERM\n")
