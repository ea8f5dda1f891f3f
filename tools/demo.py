"""``make demo``: build an image, inspect it, sign and verify it, rebuild it, and run it.

Works in a temporary directory that is removed at the end. Needs only Python and an installed pumice.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "hello-python"
REFERENCE = "example.com/hello:1.0"
PATIENCE_SECONDS = 30


class DemoError(Exception):
    """A step failed; the message says which."""


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="pumice-demo-") as folder:
        try:
            run_demo(Path(folder))
        except DemoError as problem:
            sys.stdout.flush()
            print(f"\nThe demo stopped: {problem}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    return 0


def run_demo(folder: Path) -> None:
    """Run the demo in ``folder``."""
    first, second = folder / "one", folder / "two"
    for directory in (first, second):
        shutil.copytree(EXAMPLE, directory / "hello-python")

    print_title("A recipe of a few lines ...")
    print(indent((EXAMPLE / "recipe.yaml").read_text()))

    print_title("... becomes an image: packages come from your Debian mirror, verified by its signed index")
    digest, seconds = build(first)
    print(f"    built in {seconds:.1f} s, starting with an empty store")

    print_title("What is in it")
    pumice(first, "images")
    pumice(first, "files", "--by-package", REFERENCE, lines=12)
    pumice(first, "explain", "hello-python/recipe.yaml", "libssl3")

    print_title("A second build uses the cache")
    rebuilt, seconds = build(first)
    print(f"    built in {seconds:.2f} s")
    check_same_digest(digest, rebuilt)

    print_title(
        "Sign it with bill of materials and provenance, and verify it; cosign and podman can verify it too"
    )
    pumice(first, "key", "generate", "--output", "release")
    build(first, "--sign", "release.key")
    pumice(first, "verify", "--key", "release.pub", REFERENCE)
    pumice(first, "tree", REFERENCE)
    pumice(first, "sbom", "--format", "table", REFERENCE, lines=8)

    print_title("Rebuild in another directory with an empty store and the same lock")
    shutil.copy(first / "hello-python" / "recipe.lock", second / "hello-python" / "recipe.lock")
    reproduced, seconds = build(second, "--locked")
    print(f"    built in {seconds:.1f} s")
    check_same_digest(digest, reproduced)
    print("    the same digest: the images are identical byte for byte")

    print_title("Run it, without root and without a daemon")
    serve(first)
    print("\nDone. Next: docs/tutorial/first-image.md")


def print_title(text: str) -> None:
    print(f"\n\x1b[1m{text}\x1b[0m\n" if sys.stdout.isatty() else f"\n{text}\n", flush=True)


def indent(text: str, limit: int = 1000) -> str:
    lines = text.splitlines()
    continuation = [f"... and {len(lines) - limit} lines more"] if len(lines) > limit else []
    return "".join(f"    {line}\n" for line in [*lines[:limit], *continuation]).rstrip("\n")


def check_same_digest(digest: str, rebuilt: str) -> None:
    if digest != rebuilt:
        raise DemoError(f"the second build has a different digest: {rebuilt}")


def build(directory: Path, *options: str) -> tuple[str, float]:
    """Build the example in ``directory``; return its digest and the duration in seconds."""
    began = time.monotonic()
    digest = pumice(directory, "build", *options, "hello-python/recipe.yaml").strip()
    return digest, time.monotonic() - began


def command(*arguments: str) -> list[str]:
    print(f"    $ pumice {shlex.join(arguments)}", flush=True)
    return [sys.executable, "-m", "pumice", *arguments]


def environment(directory: Path) -> dict[str, str]:
    return {**os.environ, "PUMICE_HOME": str(directory / "store"), "PUMICE_KEY_PASSPHRASE": "demo"}


def pumice(directory: Path, *arguments: str, lines: int = 1000) -> str:
    """Run one command in ``directory`` with its own store; return its output, and print ``lines`` of it."""
    process = subprocess.run(
        command(*arguments),
        cwd=directory,
        env=environment(directory),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    print(indent(process.stdout, lines), flush=True)
    if process.returncode != 0:
        raise DemoError(f"'pumice {arguments[0]}' ended with exit code {process.returncode}")
    return process.stdout


def serve(directory: Path) -> None:
    """Run the image, fetch its page, and stop it."""
    port = free_port()
    server = subprocess.Popen(
        command("run", "--network=host", REFERENCE, str(port)),
        cwd=directory,
        env=environment(directory),
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # so that its whole process group can be killed
    )
    try:
        page = fetch(server, port)
    finally:
        stop(server)
    print(f"    $ curl http://localhost:{port}/\n{indent(page)}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def fetch(server: subprocess.Popen[bytes], port: int) -> str:
    """Return the page as soon as the server answers."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        try:
            connection.request("GET", "/")
            return connection.getresponse().read().decode()
        except ConnectionError:
            time.sleep(0.05)
        finally:
            connection.close()
    if server.poll() is not None:
        raise DemoError(f"'pumice run' ended with exit code {server.returncode} before it served anything")
    raise DemoError(f"the server did not answer within {PATIENCE_SECONDS} seconds")


def stop(server: subprocess.Popen[bytes]) -> None:
    """Stop the server as a service manager does, and kill it if necessary."""
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(5)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
