from __future__ import annotations

from pumice.runtime.isolation import ending
from pumice.runtime.sandbox.memory_watch import MemoryWatch

RECORD = (
    '5,1,99,-;audit: type=1326 audit(1.2:3): auid=0 uid=0 gid=0 ses=1 pid=7 comm="x" exe="/x" sig=31'
    " arch=c000003e syscall={} compat=0 ip=0x7 code=0x80000000\n"
)


def test_refused_call_is_named_by_the_last_record() -> None:
    records = ["6,2,3,-;other\n", RECORD.format(83), RECORD.format(165), "6,2,3,-;other\n"]
    assert ending.find_refused_call(records) in ("mount", "number 165")
    assert ending.find_refused_call([RECORD.format(9999)]) == "number 9999"
    assert ending.find_refused_call([]) == ""


def test_ordinary_ends_need_no_explanation() -> None:
    for code in (0, 1, 127, 137):
        assert ending.explain_end(code, MemoryWatch(()), 0) == ""
