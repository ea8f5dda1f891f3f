"""``make demo``: build an image from nothing, look into it, sign and verify it, build it again, run it.

Works in a temporary folder and leaves nothing behind. Needs only Python and an installed pumice.
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
    """A step did not work; the message says which."""


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="pumice-demo-") as folder:
        try:
            show(Path(folder))
        except DemoError as problem:
            sys.stdout.flush()
            print(f"\nThe demo stopped: {problem}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    return 0


def show(folder: Path) -> None:
    """Do the whole demo inside ``folder``."""
    one, two = folder / "one", folder / "two"
    for place in (one, two):
        shutil.copytree(EXAMPLE, place / "hello-python")

    title("A recipe of a few lines ...")
    print(indented((EXAMPLE / "recipe.yaml").read_text()))

    title("... becomes an image: packages come from your Debian mirror, each checked by its signed index")
    digest, seconds = build(one)
    print(f"    built in {seconds:.1f} s, starting with an empty store")

    title("What is in it")
    pumice(one, "images")
    pumice(one, "files", "--by-package", REFERENCE, lines=12)
    pumice(one, "explain", "hello-python/recipe.yaml", "libssl3")

    title("Nothing is done twice")
    again, seconds = build(one)
    print(f"    built in {seconds:.2f} s")
    same(digest, again)

    title(
        "Signed with bill of materials and provenance; verify says what it checked, cosign and podman can too"
    )
    pumice(one, "key", "generate", "--output", "release")
    build(one, "--sign", "release.key")
    pumice(one, "verify", "--key", "release.pub", REFERENCE)
    pumice(one, "tree", REFERENCE)
    pumice(one, "sbom", "--format", "table", REFERENCE, lines=8)

    title("Another folder, another empty store, only the lock is the same")
    shutil.copy(one / "hello-python" / "recipe.lock", two / "hello-python" / "recipe.lock")
    other, seconds = build(two, "--locked")
    print(f"    built in {seconds:.1f} s")
    same(digest, other)
    print("    the same digest, so the same image: byte for byte")

    title("It runs, without root and without a daemon")
    serve(one)
    print("\nThat was all. Next: docs/tutorial/first-image.md")


def title(text: str) -> None:
    print(f"\n\x1b[1m{text}\x1b[0m\n" if sys.stdout.isatty() else f"\n{text}\n", flush=True)


def indented(text: str, most: int = 1000) -> str:
    lines = text.splitlines()
    more = [f"... and {len(lines) - most} lines more"] if len(lines) > most else []
    return "".join(f"    {line}\n" for line in [*lines[:most], *more]).rstrip("\n")


def same(digest: str, other: str) -> None:
    if digest != other:
        raise DemoError(f"the second build gave another digest: {other}")


def build(place: Path, *options: str) -> tuple[str, float]:
    """Build the example in ``place``; return its digest and the seconds it took."""
    began = time.monotonic()
    digest = pumice(place, "build", *options, "hello-python/recipe.yaml").strip()
    return digest, time.monotonic() - began


def command(*arguments: str) -> list[str]:
    print(f"    $ pumice {shlex.join(arguments)}", flush=True)
    return [sys.executable, "-m", "pumice", *arguments]


def environment(place: Path) -> dict[str, str]:
    return {**os.environ, "PUMICE_HOME": str(place / "store"), "PUMICE_KEY_PASSPHRASE": "demo"}


def pumice(place: Path, *arguments: str, lines: int = 1000) -> str:
    """Run one command in ``place`` with its own store; return what it prints, and show ``lines`` of it."""
    done = subprocess.run(
        command(*arguments), cwd=place, env=environment(place), stdout=subprocess.PIPE, text=True, check=False
    )
    print(indented(done.stdout, lines), flush=True)
    if done.returncode != 0:
        raise DemoError(f"'pumice {arguments[0]}' ended with exit code {done.returncode}")
    return done.stdout


def serve(place: Path) -> None:
    """Run the image, fetch its page, and end it."""
    port = free_port()
    server = subprocess.Popen(
        command("run", REFERENCE, str(port)),
        cwd=place,
        env=environment(place),
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # so that it can be ended with everything it started
    )
    try:
        page = fetch(server, port)
    finally:
        end(server)
    print(f"    $ curl http://localhost:{port}/\n{indented(page)}")


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


def end(server: subprocess.Popen[bytes]) -> None:
    """End the server as a service manager would, and make sure of it."""
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(5)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
