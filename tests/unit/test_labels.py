from __future__ import annotations

import pytest

from rustray.model import labels

A100 = {"accelerator": "A100", "zone": "a"}


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ("A100", True),
        ("H100", False),
        ("!H100", True),
        ("!A100", False),
        ("in(H100, A100)", True),
        ("in(H100,B200)", False),
        ("!in(H100, A100)", False),
        ("!in(H100)", True),
    ],
)
def test_a_condition_on_a_label(condition: str, met: bool) -> None:
    assert labels.meets(A100, labels.parse_selector({"accelerator": condition})) is met


def test_what_is_not_there_is_not_among_values() -> None:
    assert labels.meets({}, labels.parse_selector({"zone": "!a"}))
    assert not labels.meets({}, labels.parse_selector({"zone": "a"}))
    assert labels.meets({}, [("zone", labels.ABSENT, ())])
    assert not labels.meets({}, [("zone", labels.EXISTS, ())])
    assert labels.meets({"zone": ""}, [("zone", labels.EXISTS, ())])


def test_all_matches_are_to_be_met() -> None:
    assert labels.meets(A100, labels.parse_selector({"accelerator": "A100", "zone": "!b"}))
    assert not labels.meets(A100, labels.parse_selector({"accelerator": "A100", "zone": "b"}))


@pytest.mark.parametrize("condition", ["!", "in()", "in(a", "a b", "-a", "!!a", "in(a;b)", "x" * 64, 3, None])
def test_conditions_of_no_known_form(condition: str) -> None:
    with pytest.raises(ValueError, match="condition"):
        labels.parse_selector({"zone": condition})


@pytest.mark.parametrize("key", ["", "-a", "a b", "/a", "a/", "x" * 64, 3])
def test_keys_of_no_known_form(key: str) -> None:
    with pytest.raises(ValueError, match="label key"):
        labels.parse_selector({key: "a"})


def test_labels_of_a_node_are_checked() -> None:
    labels.check_labels({"example.com/zone": "eu-1", "empty": ""})
    with pytest.raises(ValueError, match="value"):
        labels.check_labels({"zone": "a b"})


@pytest.mark.parametrize(
    ("match", "text"),
    [
        (("zone", labels.IN, ("a",)), "label zone=a"),
        (("zone", labels.NOT_IN, ("a",)), "label zone!=a"),
        (("zone", labels.IN, ("a", "b")), "label zone in (a, b)"),
        (("zone", labels.NOT_IN, ("a", "b")), "label zone not in (a, b)"),
        (("zone", labels.EXISTS, ()), "label zone"),
        (("zone", labels.ABSENT, ()), "no label zone"),
    ],
)
def test_matches_for_people(match: labels.Match, text: str) -> None:
    assert labels.told(match) == text
