"""Typed decoding from several threads."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from pumice.decoding import decode_json, decode_msgpack

PROGRAM = """
import sys, threading, types, msgspec
from pumice.decoding import decode_msgpack
source = "from __future__ import annotations\\nimport msgspec\\n"
for number in range(20):
    source += f"class Kind{number}(msgspec.Struct):\\n x: dict[str, list[int]] = {{}}\\n"
    source += f" y: Kind{number + 1} | None = None\\n"
source += "class Kind20(msgspec.Struct):\\n z: int = 0\\n"
data = msgspec.msgpack.encode({"x": {"a": [1]}, "y": {"y": {"y": {"x": {"b": [2]}}}}})
start = threading.Barrier(4)
sys.setswitchinterval(1e-6)
for attempt in range(20):
    module = sys.modules["kinds"] = types.ModuleType("kinds")
    exec(source, module.__dict__)
    def decode():
        start.wait()
        assert decode_msgpack(data, module.Kind0).y.y.y.x == {"b": [2]}
    threads = [threading.Thread(target=decode) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
print("done")
"""


class Point(msgspec.Struct):
    x: int


def test_values_are_typed_and_malformed_data_is_refused() -> None:
    assert (
        decode_json(b'{"x": 1}', Point) == decode_msgpack(msgspec.msgpack.encode({"x": 1}), Point) == Point(1)
    )
    assert decode_json('[{"x": 2}]', tuple[Point, ...]) == (Point(2),)
    with pytest.raises(msgspec.ValidationError):
        decode_json(b'{"x": "1"}', Point)


@pytest.mark.concurrency
def test_threads_that_decode_a_type_for_the_first_time_do_not_crash() -> None:
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=300
    )
    assert (process.returncode, process.stdout) == (0, "done\n"), process.stderr
