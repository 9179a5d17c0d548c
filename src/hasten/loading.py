"""MODEL -> Model: a bundled name, a folder, a hub id, or ``file.py:function``."""

from __future__ import annotations

import difflib
import importlib.util
import itertools
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, final

from hasten.adapters.card import CARD, is_model, load_bundle, read_card
from hasten.adapters.diffusers.hub import download
from hasten.adapters.diffusers.load import is_folder, load_folder
from hasten.core.model import Model
from hasten.errors import HastenError, ModelError
from hasten.models.mixture import mixture_model

BUNDLED = Path(__file__).parent / "bundled"
"""Where the models that come with hasten lie."""

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_USER_FILE = re.compile(r"(?P<path>.+\.py):(?P<function>[^:/\\]*)")
_serial = itertools.count()


@final
@dataclass(frozen=True)
class Entry:
    """A model that comes with hasten.

    Attributes:
        name: What `load` takes.
        kind: ``image``, ``shower`` or ``toy``.
        card: The facts on its card.
        folder: Where it lies, with its statistics, plans and recipes; None for the analytic one.
    """

    name: str
    kind: str
    card: Mapping[str, Any]
    folder: Path | None = None


def bundled() -> list[Entry]:
    """The models that come with hasten, by name.

    Raises:
        ModelError: If one of their cards is damaged.
    """
    toy = {"about": "a Gaussian mixture with an exact denoiser; no weights", "shape": [2]}
    entries = [Entry("mixture", "toy", toy)]
    for folder in (path.parent for path in BUNDLED.glob(f"*/{CARD}")):
        if is_model(folder):
            card = read_card(folder)
            entries.append(Entry(folder.name, card["kind"], card, folder))
    return sorted(entries, key=lambda entry: entry.name)


def load(reference: str | Path) -> Model:
    """The model that a name, folder, hub id or ``file.py:function`` stands for.

    Args:
        reference: A name of `bundled`; a folder with a card (as trained here) or of diffusers; an
            id ``owner/name`` on the Hugging Face hub (fetched, then kept in its cache); or a Python
            file and, after a colon, the function in it that returns a `Model`. That file is run.

    Returns:
        The model, in evaluation mode.

    Raises:
        ModelError: If there is no such model, or it is not of a kind that can be sampled.
        WeightsError: If its weights are missing, damaged or of another net.
        MissingExtra: If it needs a library that is not installed.
    """
    text = str(reference)
    if text == "mixture":
        return mixture_model()
    if match := _USER_FILE.fullmatch(text):
        return _from_file(Path(match["path"]), match["function"])
    folder = Path(text).expanduser()
    if not folder.is_dir() and (BUNDLED / text / CARD).is_file():
        folder = BUNDLED / text
    if (folder / CARD).is_file():
        return load_bundle(folder)
    if is_folder(folder):
        return load_folder(folder)
    if folder.is_dir():
        raise ModelError(
            f"this folder holds no model: neither {CARD} nor model_index.json nor config.json",
            where=text,
        )
    if folder.exists():
        raise ModelError(
            "a file alone is not a model",
            where=text,
            hint="name the folder it lies in, or file.py:function for a net of your own",
        )
    if _HUB_ID.fullmatch(text):
        return load_folder(download(text)).replace(name=text.split("/")[1])
    raise _unknown(text)


def _unknown(text: str) -> ModelError:
    names = [entry.name for entry in bundled()]
    close = difflib.get_close_matches(text, names, 1)
    guess = f"did you mean {close[0]}? " if close else ""
    return ModelError(
        "there is no such model",
        where=text,
        hint=f"{guess}bundled: {', '.join(names)}; or a folder, a hub id, or file.py:function",
    )


def _from_file(path: Path, function: str) -> Model:
    """Run the user's file and the function named in it."""
    path = path.expanduser()
    if not path.is_file():
        raise ModelError("there is no such file", where=str(path))
    where = f"{path}:{function}"
    with _beside(path):
        module = _run(path)
        make = vars(module).get(function)
        if not callable(make):
            own = [
                name
                for name, value in vars(module).items()
                if callable(value) and getattr(value, "__module__", "") == module.__name__
            ]
            raise ModelError(
                f"the file has no function {function!r}" if make is None else "not a function",
                where=where,
                hint=f"it defines: {', '.join(own) or 'none'}",
            )
        try:
            model = make()
        except HastenError:
            raise
        except Exception as cause:
            raise ModelError(
                f"the function failed: {type(cause).__name__}: {cause}",
                where=where,
                hint="it is called without arguments",
            ) from cause
    if not isinstance(model, Model):
        raise ModelError(
            f"the function returned {type(model).__name__}, not a hasten.Model",
            where=where,
            hint="return hasten.from_module(net, process, prediction, shape)",
        )
    return model.replace(card={**model.card, "source": where})


def _run(path: Path) -> ModuleType:
    # a fresh name each time: a file edited between two loads must be read again
    name = f"hasten_user_{next(_serial)}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ModelError("Python cannot read this file", where=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles of its classes look it up there
    try:
        spec.loader.exec_module(module)
    except BaseException as cause:
        del sys.modules[name]
        if isinstance(cause, (HastenError, KeyboardInterrupt)):
            raise
        raise ModelError(
            f"the file does not run: {type(cause).__name__}: {cause}", where=str(path)
        ) from cause
    return module


@contextmanager
def _beside(path: Path) -> Iterator[None]:
    """Let the file import its neighbours, as a script may."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
