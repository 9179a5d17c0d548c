"""Reading tables from outside (TOML, JSON) strictly: what is unknown or misfits is refused."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from hasten.errors import HastenError, RecipeError

T = TypeVar("T")


def construct(kind: type[T], facts: Mapping[str, Any], where: str) -> T:
    """A dataclass from a table whose keys are its fields.

    Lists become tuples and whole numbers floats where the annotations want them.

    Args:
        kind: The dataclass.
        facts: Its fields; absent ones take their defaults. The keys are known to be fields.
        where: For messages.

    Raises:
        RecipeError: If a value has another type than the field, or the class refuses it.
    """
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in facts.items():
        fitted = _fit(value, hints[key])
        if fitted is _MISFIT:
            takes = _words(hints[key])
            raise RecipeError(f"{key} = {value!r}", where=where, hint=f"{key} takes {takes}")
        values[key] = fitted
    try:
        return kind(**values)
    except RecipeError:
        raise
    except HastenError as error:
        raise RecipeError(error.what, where=where, hint=error.hint) from error
    except (TypeError, ValueError) as error:
        raise RecipeError(str(error), where=where) from error


def a_table(value: Any, where: str) -> None:
    """Refuse anything but a table.

    Raises:
        RecipeError: If it is something else.
    """
    if not isinstance(value, Mapping):
        raise RecipeError(f"expected a table, found {value!r}", where=where)


def only(table: Mapping[str, Any], names: Iterable[str], where: str) -> None:
    """Refuse keys that are not among the names.

    Raises:
        RecipeError: Naming the key and the closest name.
    """
    listed = sorted(names)
    for key in table:
        known("key", key, listed, where)


def known(what: str, name: Any, names: Iterable[str], where: str) -> None:
    """Refuse a name that is not among the names.

    Raises:
        RecipeError: Naming the closest one.
    """
    listed = sorted(names)
    if name in listed:
        return
    close = difflib.get_close_matches(str(name), listed, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(listed)}"
    raise RecipeError(f"unknown {what} {name!r}", where=where, hint=hint)


def short(value: Any) -> str:
    """A value as labels have it: ``40``, ``true``, ``full,hold``."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


_MISFIT = object()


def _fit(value: Any, hint: Any) -> Any:
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)):
            return _MISFIT
        kinds = [arguments[0]] * len(value) if arguments[1:] == (...,) else list(arguments)
        if len(kinds) != len(value):
            return _MISFIT
        items = tuple(_fit(item, kind) for item, kind in zip(value, kinds, strict=True))
        return _MISFIT if any(item is _MISFIT for item in items) else items
    if arguments:
        fits = (_fit(value, kind) for kind in arguments)
        return next((fit for fit in fits if fit is not _MISFIT), _MISFIT)
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return value if hint is type(value) else _MISFIT


def _words(hint: Any) -> str:
    names = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        count = "" if arguments[1:] == (...,) else f" of {len(arguments)}"
        return f"a list{count}, each entry {_words(arguments[0])}"
    if arguments:
        return " or ".join(_words(kind) for kind in arguments if kind is not type(None))
    return names.get(hint, str(hint))
