from __future__ import annotations

from hypothesis import given as each
from hypothesis import strategies as st

from pumice.packing.effects.pam_stacks import build_stack, parse_profile, write_pam_stacks
from tests.support.texttree import effect_input, tree

TEMPLATE = """\
# head
# here are the per-package modules (the "Primary" block)
$auth_primary
# here's the fallback if no module succeeds
auth\trequisite\t\t\tpam_deny.so
# and here are more per-package modules (the "Additional" block)
$auth_additional
# end of pam-auth-update config
"""
UNIX = """\
Name: Unix authentication
Default: yes
Priority: 256
Auth-Type: Primary
Auth:
\t[success=end default=ignore]\tpam_unix.so nullok try_first_pass
Auth-Initial:
\t[success=end default=ignore]\tpam_unix.so  nullok
Session-Type: Additional
Session:
\trequired\tpam_unix.so
"""
KRB5 = """\
Name: Kerberos
Default: yes
Priority: 704
Conflicts: sss
Auth-Type: Primary
Auth:
\t[success=end default=ignore]\tpam_krb5.so minimum_uid=1000
"""


def test_jumps_skip_the_remaining_modules() -> None:
    profiles = [parse_profile("krb5", KRB5), parse_profile("unix", UNIX)]
    assert build_stack(TEMPLATE, profiles, "auth") == (
        "# head\n"
        '# here are the per-package modules (the "Primary" block)\n'
        "auth\t[success=2 default=ignore]\tpam_krb5.so minimum_uid=1000\n"
        "auth\t[success=1 default=ignore]\tpam_unix.so nullok try_first_pass\n"
        "# here's the fallback if no module succeeds\n"
        "auth\trequisite\t\t\tpam_deny.so\n"
        '# and here are more per-package modules (the "Additional" block)\n'
        "# end of pam-auth-update config\n"
    )


def test_the_first_profile_uses_its_initial_lines_and_an_empty_block_permits() -> None:
    stack = build_stack(TEMPLATE, [parse_profile("unix", UNIX)], "auth")
    assert "auth\t[success=1 default=ignore]\tpam_unix.so nullok\n" in stack
    assert "auth\t[default=1]\t\t\tpam_permit.so\n" in build_stack(TEMPLATE, [], "auth")


def test_disabled_and_conflicting_profiles_are_omitted() -> None:
    paths = {
        "usr/share/pam/common-auth": TEMPLATE,
        "usr/share/pam-configs/unix": UNIX,
        "usr/share/pam-configs/krb5": KRB5,
        "usr/share/pam-configs/sss": KRB5.replace("704", "128").replace("krb5", "sss"),
        "usr/share/pam-configs/off": KRB5.replace("yes", "no").replace("krb5", "off"),
    }
    (generated_file,) = write_pam_stacks(effect_input(tree(paths))).generated
    assert generated_file.entry.path == "etc/pam.d/common-auth"
    text = generated_file.content.decode()
    assert [name for name in ("krb5", "unix", "sss", "off") if f"pam_{name}" in text] == ["krb5", "unix"]


def test_without_templates_or_with_an_existing_file_nothing_is_generated() -> None:
    assert write_pam_stacks(effect_input(tree({"usr/share/pam-configs/unix": UNIX}))).generated == ()
    paths = {"usr/share/pam/common-auth": TEMPLATE, "etc/pam.d/common-auth": "mine"}
    assert write_pam_stacks(effect_input(tree(paths))).generated == ()


@each(st.text(st.sampled_from("AuthSession-Type:Primary \n\t[]=end"), max_size=80))
def test_any_profile_gives_a_complete_stack(text: str) -> None:
    assert build_stack(TEMPLATE, [parse_profile("x", text)], "auth").endswith(
        "# end of pam-auth-update config\n"
    )
