from pathlib import Path

import pytest

from pumice.runtime.sandbox.group_members import members_path


@pytest.mark.parametrize(
    ("files", "expected"),
    [(("cgroup.procs", "tasks"), "tasks"), (("cgroup.procs", "cgroup.threads"), "cgroup.procs")],
    ids=["version 1", "version 2"],
)
def test_a_process_enters_a_group_without_stopping_the_machine(
    tmp_path: Path, files: tuple[str, ...], expected: str
) -> None:
    for name in files:
        (tmp_path / name).touch()
    assert members_path(str(tmp_path)) == f"{tmp_path}/{expected}"
