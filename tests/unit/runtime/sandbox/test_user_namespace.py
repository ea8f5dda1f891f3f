from __future__ import annotations

import subprocess
import sys

PROBE = """
import os
from pumice.runtime.sandbox import user_namespace
user_namespace._run_with_helper(lambda _: os.write(1, b"mapped"), lambda: os._exit(0))
"""
"""A process that ends before it is in its namespace, while its helper waits for it."""


def test_a_helper_does_nothing_for_a_process_that_has_ended() -> None:
    """Another process may have its number by then."""
    process = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, timeout=60, check=True)
    assert process.stdout == b""  # which the helper has open, too
