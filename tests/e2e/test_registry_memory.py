"""A large blob goes up and down in little memory, on both sides."""

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


def test_three_hundred_megabytes_in_a_few_tens(tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    with blob.open("wb") as file:
        file.truncate(SIZE)
    with serving(tmp_path / "root") as one:
        command = [sys.executable, "-c", PROGRAM, one.host, str(blob), str(SIZE)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        outcome, read, most = done.stdout.split()
        assert (outcome, int(read)) == ("sent", SIZE)
        assert int(most) < CLIENT
        assert soak.peak_memory(one.process.pid) < SERVER
