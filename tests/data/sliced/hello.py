"""Serve one page that describes the system it runs on. Usage: hello.py [PORT]"""

import platform
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGE = """\
<!doctype html>
<title>Hello</title>
<h1>Hello from a small image</h1>
<p>Python {python} on {system}, {packages} packages in all.</p>
"""


class Hello(BaseHTTPRequestHandler):
    """Answers every GET with the page."""

    def do_GET(self) -> None:
        body = page().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def page() -> str:
    """Return the page; the list of packages is read from dpkg's status file."""
    status = Path("/var/lib/dpkg/status").read_text()
    release = platform.freedesktop_os_release()["PRETTY_NAME"]
    packages = sum(line.startswith("Package: ") for line in status.splitlines())
    return PAGE.format(python=platform.python_version(), system=release, packages=packages)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    print(f"serving on port {port}", flush=True)
    ThreadingHTTPServer(("", port), Hello).serve_forever()
