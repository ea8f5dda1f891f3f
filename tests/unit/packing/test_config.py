"""The image config: users become numbers."""

from __future__ import annotations

import pytest

from pumice.errors import ImageError
from pumice.packing.config import numeric_user

PASSWD = "root:x:0:0::/:/bin/sh\nweb:x:998:997::/:/bin/sh\n"
GROUP = "root:x:0:\nwww:x:33:web\n"


@pytest.mark.parametrize(
    ("user", "ids"), [("web", "998"), ("web:www", "998:33"), ("1000", "1000"), ("1000:www", "1000:33")]
)
def test_names_of_users_and_groups_become_numbers(user: str, ids: str) -> None:
    assert numeric_user(user, PASSWD, GROUP) == ids


@pytest.mark.parametrize("number", ["", "x", "-1", "\N{SUPERSCRIPT TWO}", "9" * 5000])
def test_an_account_with_a_malformed_id_is_unknown(number: str) -> None:
    with pytest.raises(ImageError, match="the image has no user 'web'"):
        numeric_user("web", f"web:x:{number}:1::/:\n", "")
