from __future__ import annotations

from pumice.formats import dpkgstate


def test_fields_are_in_the_order_of_dpkg_with_conffiles_before_the_description() -> None:
    fields = {
        "Package": "x",
        "Source": "y",
        "Version": "1",
        "Architecture": "amd64",
        "Maintainer": "M <m@example.com>",
        "Homepage": "https://example.com",
        "installed-size": "12",
        "Description": "short\n long\n .\n more",
        "Multi-Arch": "same",
    }
    assert dpkgstate.format_status(fields, {"/etc/b": "0" * 32, "/etc/a": "1" * 32}) == (
        "Package: x\nStatus: install ok installed\nInstalled-Size: 12\nMaintainer: M <m@example.com>\n"
        "Architecture: amd64\nMulti-Arch: same\nSource: y\nVersion: 1\n"
        f"Conffiles:\n /etc/b {'0' * 32}\n /etc/a {'1' * 32}\n"
        "Description: short\n long\n .\n more\nHomepage: https://example.com\n"
    )


def test_reads_trigger_interests() -> None:
    text = b"# comment\ninterest-noawait /usr/lib/x\ninterest y\nactivate ldconfig\ninterest-await z # why\n"
    assert list(dpkgstate.read_trigger_interests(text)) == [("/usr/lib/x", False), ("y", True), ("z", True)]
