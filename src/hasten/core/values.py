"""Values of a plan's tables, each of its type or refused in words; who calls says where."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hasten.errors import PlanError


def only(table: Any, known: set[str], needed: set[str]) -> None:
    """Refuse what is no table, and keys that are unknown or missing.

    Raises:
        PlanError: Naming them.
    """
    if not isinstance(table, Mapping):
        raise PlanError(f"expected a table, found {table!r}", hint=f"its keys: {sorted(known)}")
    if unknown := sorted(set(table) - known):
        raise PlanError(f"unknown keys {unknown}", hint=f"known: {sorted(known)}")
    if missing := sorted(needed - set(table)):
        raise PlanError(f"missing keys {missing}", hint=f"write {' and '.join(missing)} as well")


def a_list(value: Any, name: str) -> list[Any]:
    """The entries of a list.

    Raises:
        PlanError: If it is something else.
    """
    if not isinstance(value, list | tuple):
        raise PlanError(f"{name} = {value!r}", hint=f"{name} is a list")
    return list(value)


def tuples(value: Any, name: str, form: str) -> list[Any]:
    """The entries of a list of lists that all have one form, such as ``[row, weight]``.

    Raises:
        PlanError: If one has another length.
    """
    entries = [a_list(entry, f"an entry of {name}") for entry in a_list(value, name)]
    for entry in entries:
        if len(entry) != form.count(",") + 1:
            raise PlanError(f"{entry} in {name}", hint=f"each entry of {name} is {form}")
    return entries


def number(value: Any, name: str) -> float:
    """A number; not the text of one, and not true or false.

    Raises:
        PlanError: If it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PlanError(f"{name} = {value!r}", hint=f"{name} is a number")
    try:
        return float(value)
    except OverflowError:  # a whole number of more than 308 digits; whoever bounds it refuses it
        return math.inf


def whole(value: Any, name: str) -> int:
    """A whole number; ``3.0`` is one.

    Raises:
        PlanError: If it is something else.
    """
    found = number(value, name)
    if not found.is_integer():
        raise PlanError(f"{name} = {value!r}", hint=f"{name} is a whole number")
    return int(found)
