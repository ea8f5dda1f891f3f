"""Clients that push and pull the same image: Pumice, crane, skopeo, oras-py."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench.images import LAYER, Image
from bench.measure import Contender
from bench.servers import PASSWORD, USER, Server
from bench.servers import find as program

PUMICE = (sys.executable, "-m", "pumice")
PEERS = {
    "crane": "go install github.com/google/go-containerregistry/cmd/crane@latest",
    "skopeo": "apt-get install skopeo",
    "oras": "pip install oras",
}


def find(name: str) -> bool:
    """Return whether a peer is installed."""
    if name == "oras":
        return importlib.util.find_spec("oras") is not None
    return program(name) is not None


def put(server: Server, repository: str, image: Image) -> None:
    """Push an image without measuring it."""
    import os

    from bench import servers

    environment = servers.login([server], image.folder.parent / "put")
    home = {"PUMICE_HOME": str(image.folder.parent / "home")}
    command = [*PUMICE, "push", "--progress", "none", f"oci:{image.folder}", f"{server.host}/{repository}:1"]
    subprocess.run(command, check=True, env=os.environ | environment | home, stdout=subprocess.DEVNULL)


def contenders(
    kind: str,
    server: Server,
    name: str,
    image: Callable[[int], Image],
    folder: Path,
    environment: dict[str, str],
    stack: ExitStack,
) -> list[Contender]:
    """Return the clients that push or pull the image that ``image`` returns for a run; Pumice is first."""
    commands = (
        _push_commands(server, name, folder / "large")
        if kind == "push"
        else _pull_commands(server, name, folder / "out")
    )
    stack.callback(shutil.rmtree, folder / "out", ignore_errors=True)
    home = {"PUMICE_HOME": str(folder / "home"), "XDG_CACHE_HOME": str(folder / "cache")}

    def prepare(number: int) -> None:
        shutil.rmtree(folder / "out", ignore_errors=True)
        shutil.rmtree(folder / "home", ignore_errors=True)
        image(number)

    return [
        Contender(label, command, prepare, environment | home)
        for label, (required_program, command) in commands.items()
        if not required_program or find(required_program)
    ]


_Commands = dict[str, tuple[str, Callable[[int], list[str]]]]


def _push_commands(server: Server, name: str, layout: Path) -> _Commands:
    def to(tool: str, number: int) -> str:
        return f"{server.host}/bench/{name}-{tool}-{number}:1"

    crane, skopeo = program("crane") or "", program("skopeo") or ""
    copy = [skopeo, "copy", "--quiet", "--dest-tls-verify=false"]
    pumice_push = [*PUMICE, "push", "--progress", "none", f"oci:{layout}"]
    return {
        "pumice": ("", lambda n: [*pumice_push, to("pumice", n)]),
        "crane": ("crane", lambda n: [crane, "push", str(layout), to("crane", n)]),
        "skopeo": ("skopeo", lambda n: [*copy, f"oci:{layout}", f"docker://{to('skopeo', n)}"]),
        "skopeo --preserve-digests": (
            "skopeo",
            lambda n: [*copy, "--preserve-digests", f"oci:{layout}", f"docker://{to('plain', n)}"],
        ),
        "oras-py": ("oras", lambda n: _oras("push", to("oras", n), layout)),
    }


def _pull_commands(server: Server, name: str, out: Path) -> _Commands:
    def source(number: int) -> str:
        return f"{server.host}/bench/{name}-{number}:1"

    crane, skopeo = program("crane") or "", program("skopeo") or ""
    pumice_copy = [*PUMICE, "copy", "--progress", "none"]
    pumice_pull = [*PUMICE, "pull", "--progress", "none", "--insecure-options=image"]
    copy = [skopeo, "copy", "--quiet", "--src-tls-verify=false"]
    return {
        "pumice": ("", lambda n: [*pumice_copy, f"docker://{source(n)}", f"oci:{out}:1"]),
        "pumice, into the store": ("", lambda n: [*pumice_pull, source(n)]),
        "crane": ("crane", lambda n: [crane, "pull", "--format", "oci", source(n), str(out)]),
        "skopeo": ("skopeo", lambda n: [*copy, f"docker://{source(n)}", f"oci:{out}:1"]),
        "skopeo --preserve-digests": (
            "skopeo",
            lambda n: [*copy, "--preserve-digests", f"docker://{source(n)}", f"oci:{out}:1"],
        ),
        "oras-py": ("oras", lambda n: _oras("pull", source(n), out)),
    }


def _oras(verb: str, target: str, folder: Path) -> list[str]:
    return [sys.executable, "-m", "bench.clients", verb, target, str(folder)]


def _main(verb: str, target: str, folder: Path) -> None:
    """Push or pull the layers as files, as a program that uses oras-py would."""
    from oras.client import OrasClient

    client = OrasClient(insecure=True, auth_backend="basic")
    client.auth.set_basic_auth(USER, PASSWORD)
    if verb == "pull":
        client.pull(target=target, outdir=str(folder))
        return
    layers = sorted(
        (path for path in (folder / "blobs" / "sha256").iterdir() if path.stat().st_size > 1 << 20),
        key=lambda path: path.name,
    )
    client.push(target=target, files=[f"{path}:{LAYER}" for path in layers], disable_path_validation=True)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
