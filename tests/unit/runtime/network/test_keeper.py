"""The keeper: records, hosts, plugins and relayed connections."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pumice.runtime.network.keeper import cni, hosts, records, relay
from pumice.runtime.network.keeper import release as release_module
from pumice.runtime.network.keeper.relay import Relay
from pumice.runtime.network.keeper.release import release


def plugin(directory: Path, name: str, script: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def record(directory: Path, *types: str) -> dict[str, object]:
    plugins = [{"type": name, "name": "net", "cniVersion": "0.4.0"} for name in types]
    return {"id": "abc", "plugins": plugins, "directories": [str(directory)], "arguments": ""}


def test_plugins_are_chained_and_deleted_in_reverse(tmp_path: Path) -> None:
    for name in ("one", "two"):
        log = f'echo "$CNI_COMMAND {name} $(cat)" >> {tmp_path}/log; echo \'{{"by": "{name}"}}\''
        plugin(tmp_path, name, log)
    saved = []
    made = record(tmp_path, "one", "two")
    assert cni.add(made, "/ns", lambda: saved.append(dict(made))) == {"by": "two"}
    assert [state["result"] for state in saved] == [{"by": "one"}, {"by": "two"}]
    assert cni.delete(made, "/ns") == []
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ADD", "one"],
        ["ADD", "two"],
        ["DEL", "two"],
        ["DEL", "one"],
    ]
    assert json.loads(lines[1].partition("two ")[2])["prevResult"] == {"by": "one"}


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ('echo \'{"code": 7, "msg": "no", "details": "bad"}\'; exit 1', "'broken' failed: no: bad"),
        ("echo text; exit 0", "'broken' failed: text"),
        ("exit 3", "'broken' failed: exit code 3"),
        ("echo []", "'broken' printed no result"),
    ],
)
def test_a_failure_of_a_plugin_says_why(tmp_path: Path, script: str, message: str) -> None:
    plugin(tmp_path, "broken", script)
    with pytest.raises(cni.PluginError, match="the CNI plugin") as caught:
        cni.add(record(tmp_path, "broken"), "/ns", lambda: None)
    assert message in str(caught.value)


def test_a_missing_plugin_is_named(tmp_path: Path) -> None:
    with pytest.raises(cni.PluginError, match="'absent' is not installed"):
        cni.add(record(tmp_path, "absent"), "/ns", lambda: None)
    assert cni.delete(record(tmp_path, "absent"), "/ns") == ["the CNI plugin 'absent' is not installed"]


def test_hosts_are_rewritten_in_place(tmp_path: Path) -> None:
    for name, network, address in (
        ("a", "net", "10.0.0.2"),
        ("b", "net", "10.0.0.3"),
        ("c", "other", "10.1.0.2"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        (folder / hosts.BASE).write_text("127.0.0.1\tlocalhost\n")
        (folder / hosts.HOSTS).write_text("a longer text than the new one\n" * 9)
        records.write_record(str(folder), {"network": network, "names": [name], "addresses": [address]})
    inode = (tmp_path / "a/hosts").stat().st_ino
    hosts.rewrite_members(str(tmp_path), "net")
    assert (tmp_path / "a/hosts").read_text() == "127.0.0.1\tlocalhost\n10.0.0.2\ta\n10.0.0.3\tb\n"
    assert (tmp_path / "a/hosts").stat().st_ino == inode
    assert "longer" in (tmp_path / "c/hosts").read_text()


def test_release_removes_the_attachment_and_can_be_repeated(tmp_path: Path) -> None:
    folder = tmp_path / "abc"
    folder.mkdir()
    records.write_record(str(folder), {"id": "abc", "driver": "pasta", "helper_pid": os.getpid()})
    assert release(str(folder)) == []  # and this process lives: it is no helper
    assert not folder.exists()
    assert release(str(folder)) == []


def test_a_network_whose_firewall_does_not_answer_is_released_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, folder = tmp_path / "bin", tmp_path / "abc"
    programs.mkdir()
    folder.mkdir()
    plugin(programs, "one", "echo {}")
    for name in ("iptables-save", "ip6tables-save"):
        plugin(programs, name, "exec sleep 1000")
    monkeypatch.setattr(release_module, "_PROGRAM_PATH", str(programs))
    monkeypatch.setattr(release_module, "_SECONDS", 0.1)
    records.write_record(str(folder), record(programs, "one"))
    (failure,) = release(str(folder))
    assert "cannot remove the rules of the firewall" in failure
    assert folder.exists()
    for name in ("iptables-save", "ip6tables-save"):
        plugin(programs, name, "exit 0")
    monkeypatch.setattr(release_module, "_SECONDS", 60)
    assert release(str(folder)) == []
    assert not folder.exists()


def test_a_damaged_record_is_released(tmp_path: Path) -> None:
    folder = tmp_path / "abc"
    folder.mkdir()
    (folder / "record.json").write_text('{"plugins": ')
    assert release(str(folder)) == []
    assert not folder.exists()


@pytest.mark.concurrency
def test_connections_are_relayed_in_both_directions() -> None:
    with socket.create_server(("127.0.0.2", 0)) as pod, socket.create_server(("127.0.0.1", 0)) as listener:
        end_reader, end_writer = os.pipe()
        forwarder = Relay([listener.fileno()], lambda _: socket.create_connection(pod.getsockname()))
        thread = threading.Thread(target=forwarder.run_until, args=(end_reader,))
        thread.start()
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(b"question")
            client.shutdown(socket.SHUT_WR)
            connection, _ = pod.accept()
            with connection, connection.makefile("rb") as file:
                assert file.read() == b"question"
                connection.sendall(b"answer" * 100_000)
            with client.makefile("rb") as file:
                assert file.read() == b"answer" * 100_000
        os.close(end_writer)
        thread.join()
        os.close(end_reader)


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_a_connection_that_must_wait_for_a_descriptor_is_not_tried_again_at_once(
    monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    tries = threading.Semaphore(0)

    def accept(_: socket.socket) -> None:  # stands for a machine or a process without descriptors
        tries.release()
        raise OSError(error, "")

    monkeypatch.setattr(socket.socket, "accept", accept)
    monkeypatch.setattr(relay, "_PAUSE_MILLISECONDS", 3_600_000)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        end_reader, end_writer = os.pipe()
        unused = Relay([listener.fileno()], lambda _: socket.socket())
        thread = threading.Thread(target=unused.run_until, args=(end_reader,))
        thread.start()
        with socket.create_connection(listener.getsockname()):
            assert tries.acquire(timeout=60)
            os.close(end_writer)
            thread.join(60)
        os.close(end_reader)
        assert not thread.is_alive()
        assert not tries.acquire(blocking=False)


RELAY_WITH_FEW_FILES = """
import os, resource, socket, sys
from pumice.runtime.network.keeper.relay import Relay
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
listener, port = int(sys.argv[1]), int(sys.argv[2])
Relay([listener], lambda _: socket.create_connection(("127.0.0.1", port))).run_until(0)
"""


def test_connections_for_which_there_are_no_descriptors_are_closed_at_once() -> None:
    with (
        contextlib.ExitStack() as stack,
        socket.create_server(("127.0.0.1", 0), backlog=128) as pod,
        socket.create_server(("127.0.0.1", 0), backlog=128) as listener,
    ):
        port = str(pod.getsockname()[1])
        command = [sys.executable, "-c", RELAY_WITH_FEW_FILES, str(listener.fileno()), port]
        process = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[listener.fileno()])
        )
        clients = [
            stack.enter_context(socket.create_connection(listener.getsockname(), timeout=60))
            for _ in range(60)
        ]
        assert clients[-1].recv(1) == b""
        pod.settimeout(60)
        for client in clients[:16]:
            client.sendall(b"question")
        connection, _ = pod.accept()
        with connection:
            connection.settimeout(60)
            assert connection.recv(8) == b"question"
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0
