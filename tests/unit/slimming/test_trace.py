"""Reading the output of strace."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pumice.slimming.trace import read_trace

OUTPUT = r"""
100   execve("/usr/bin/python3", ["python3"], 0x7ff /* 1 var */) = 0
100   openat(AT_FDCWD</home/me>, "/etc/host.conf", O_RDONLY) = 3</etc/host.conf>
102   pivot_root(".", ".") = 0
102   chdir("/") = 0
102   execve("/usr/bin/app", ["app"], 0x7ff /* 1 var */) = 0
102   openat(AT_FDCWD</>, "/lib/libx.so.1", O_RDONLY|O_CLOEXEC) = 3</usr/lib/libx.so.1.2>
100   openat(AT_FDCWD</home/me>, "/etc/outside", O_RDONLY) = 3</etc/outside>
102   newfstatat(3</usr/lib/libx.so.1.2>, "", {st_mode=S_IFREG|0644, ...}, AT_EMPTY_PATH) = 0
103   chdir("/srv") = 0
103   access("data", R_OK) = 0
103   openat(AT_FDCWD</srv>, "sub/file", O_RDONLY) = 4</srv/sub/file>
103   readlink("/usr/bin/\303\244 \"x\"", "target", 4095) = 6
103   openat(5</opt>, "\141\t", O_RDONLY <unfinished ...>
103   <... openat resumed>) = 6</opt/a>
garbage
103   +++ exited with 0 +++
"""


def test_only_what_the_container_names_counts() -> None:
    assert read_trace(OUTPUT.splitlines()) == [
        "/usr/bin/app",
        "/lib/libx.so.1",
        "/usr/lib/libx.so.1.2",
        "/srv/data",
        "/srv/sub/file",
        '/usr/bin/ä "x"',
        "/opt/a\t",
    ]


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    assert all(path.startswith("/") for path in read_trace(["1 pivot_root(1) = 0", *text.splitlines()]))
