"""The ids of users and groups that commands name."""

from __future__ import annotations

import pytest

from pumice.packing.effects.account_ids import AccountIds

IDS = AccountIds({"root": (0, 0), "web": (33, 34), "a.b": (5, 6)}, {"root": 0, "web": 34, "mail": 8})


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("web", (33, None)),
        ("web:", (33, 34)),
        ("web:mail", (33, 8)),
        ("web.mail", (33, 8)),
        ("a.b", (5, None)),
        ("a.b:web", (5, 34)),
        (":mail", (None, 8)),
        ("12:13", (12, 13)),
        ("12:", (12, None)),
        ("", (None, None)),
    ],
)
def test_an_owner_is_read_as_chown_reads_it(text: str, ids: tuple[int | None, int | None]) -> None:
    assert IDS.parse_owner(text) == ids


@pytest.mark.parametrize("text", ["nobody", "web:nobody", "4294967295", "0:99999999999", "-1", "\uff11"])
def test_an_owner_that_does_not_exist_or_that_no_file_can_have_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text.rpartition(":")[2]):
        IDS.parse_owner(text)
