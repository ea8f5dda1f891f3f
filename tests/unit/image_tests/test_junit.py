"""JUnit reports are valid XML, whatever the image wrote."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from pumice.image_tests.junit import format_junit
from pumice.image_tests.outcome import Failure, Outcome


@given(st.text(), st.text())
def test_any_text_gives_valid_xml(name: str, text: str) -> None:
    failure = Failure(subject=text, expected=text, actual=text)
    outcome = Outcome(test=name, where="t.yaml:3:5", failures=(failure,), stdout=text, stderr=text)
    document = format_junit(name, [outcome, Outcome(test=name, where="")])
    root = ET.fromstring(document.encode(errors="surrogatepass"))
    assert root.attrib["tests"] == "2"
    assert [len(case) > 0 for case in root[0]] == [True, False]
