from __future__ import annotations

import numpy as np

from hasten.core.fingerprint import fingerprint


def test_last_bits_and_the_order_of_keys_do_not_matter() -> None:
    third = 1 / 3
    facts = {"a": [third, (1.0, 2)], "b": {"c": "text", "d": None, "e": True}}
    other = {"b": {"e": True, "d": None, "c": "text"}, "a": [np.nextafter(third, 1), (1.0, 2)]}
    assert fingerprint(facts) == fingerprint(other)
    assert len(fingerprint(facts)) == 16


def test_everything_else_matters() -> None:
    tables = [{"a": 1.0}, {"a": 1}, {"a": 1.00000001}, {"a": "1"}, {"b": 1.0}, {"a": [1.0]}, {}]
    assert len({fingerprint(table) for table in tables}) == len(tables)
