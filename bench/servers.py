"""Registry servers to compare: Pumice and the installed peers, each a process on loopback."""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import bcrypt

USER, PASSWORD = "alice", "benchmark"
LOGIN = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
PEERS = {
    "docker-registry": "distribution 2 of Debian: apt-get install docker-registry",
    "distribution3": "go install github.com/distribution/distribution/v3/cmd/registry@latest, by this name",
}
"""Peers, and how to install them."""

_WAIT = 20.0


@dataclass(frozen=True)
class Server:
    """A running registry."""

    name: str
    host: str
    process: int

    @property
    def memory(self) -> float:
        """Peak resident memory in MB."""
        for line in Path(f"/proc/{self.process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, timeout=60)


def find(program: str) -> str | None:
    """Return the path of a peer, from PATH or from the directory in which CI builds peers."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return shutil.which(program) or shutil.which(program, path=str(cache / "pumice-peers"))


@contextmanager
def running(folder: Path) -> Iterator[list[Server]]:
    """Run every installed registry on an empty directory; Pumice is the first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        servers = [stack.enter_context(_process("pumice", _pumice_command(folder), folder))]
        for program in PEERS:
            if program_path := find(program):
                server_command = _distribution_command(program_path, program, folder)
                servers.append(stack.enter_context(_process(program, server_command, folder)))
        yield servers


def login(servers: list[Server], folder: Path) -> dict[str, str]:
    """Write auth files with the password; return the environment that points clients to them."""
    folder.mkdir(parents=True, exist_ok=True)
    logins = {server.host: {"auth": LOGIN} for server in servers}
    (folder / "config.json").write_text(json.dumps({"auths": logins}))
    return {"DOCKER_CONFIG": str(folder), "REGISTRY_AUTH_FILE": str(folder / "config.json")}


def _pumice_command(folder: Path) -> tuple[list[str], str]:
    """Return the command of Pumice with everything that costs time: passwords, rules, an access log."""
    host = f"127.0.0.1:{_port()}"
    users, rules = folder / "users", folder / "rules.yaml"
    users.write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()}\n")
    rules.write_text("bench: {read: [users], write: [alice]}\nopen: {read: [anonymous], write: [alice]}\n")
    command = [sys.executable, "-m", "pumice", "serve", "--listen", host, "--root", str(folder / "pumice")]
    command += ["--htpasswd", str(users), "--access", str(rules), "--access-log", str(folder / "access.log")]
    return command, host


def _distribution_command(program: str, name: str, folder: Path) -> tuple[list[str], str]:
    """Return the command of a distribution registry with its defaults, without passwords and access log."""
    host = f"127.0.0.1:{_port()}"
    config = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / name)},
            "cache": {"blobdescriptor": "inmemory"},
        },
        "http": {"addr": host},
    }
    path = folder / f"{name}.yml"
    path.write_text(json.dumps(config))  # JSON is valid YAML
    return [program, "serve", str(path)], host


@contextmanager
def _process(name: str, server_command: tuple[list[str], str], folder: Path) -> Iterator[Server]:
    command, host = server_command
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            server = Server(name, host, process.pid)
            _wait(server, process)
            yield server
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
            process.kill()


def _wait(server: Server, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _WAIT
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError):
            connection = server.connect()
            connection.request("GET", "/v2/")
            connection.getresponse().read()
            connection.close()
            return
        time.sleep(0.05)
    raise RuntimeError(f"{server.name} did not start")


def _port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
