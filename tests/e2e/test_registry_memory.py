"""A large blob is uploaded and downloaded in bounded memory, on both sides."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support import soak
from tests.support.serving import serving

SIZE = 300 << 20
CLIENT = 90_000_000
SERVER = 150_000_000
PROGRAM = """
import hashlib, sys
from pathlib import Path
from pumice.formats import oci
from pumice.registry import Client, Repository

host, path, size = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
with path.open("rb") as file:
    name = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
where = Repository(host, "large")
with Client() as client:
    print(client.upload_blob(where, oci.Descriptor("x/y", name, size), lambda: path.open("rb")))
    with client.open_blob(where, name, size) as blob:
        print(sum(len(data) for data in iter(lambda: blob.read(1 << 20), b"")))
for line in Path("/proc/self/status").read_text().splitlines():
    if line.startswith("VmHWM"):
        print(int(line.split()[1]) << 10)
"""


def test_a_client_uploads_300_mb_in_bounded_memory(tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    with blob.open("wb") as file:
        file.truncate(SIZE)
    with serving(tmp_path / "root") as server:
        command = [sys.executable, "-c", PROGRAM, server.host, str(blob), str(SIZE)]
        completed = subprocess.run(command, capture_output=True, text=True, check=False)
        assert completed.returncode == 0, completed.stderr
        upload_state, downloaded, peak_memory = completed.stdout.split()
        assert (upload_state, int(downloaded)) == ("sent", SIZE)
        assert int(peak_memory) < CLIENT
        assert soak.peak_memory(server.process.pid) < SERVER
