"""A model as a folder: ``card.toml`` (the facts) beside ``weights.safetensors`` (16 bits a number).

    name = "digits"                      [process]            [reference]
    kind = "image"                       name = "vp"          speed = {solver = "ddim", ...}
    shape = [1, 28, 28]                  law = "cosine"       [judge]
    codec = "pixels"                     [prediction]         name = "fashion"
    [net]                                name = "v"           [training]
    factory = "uvit"                     [call]               ...
    width = 128                          cond = "label"       [quality]
    ...                                  [classes] ...        ...

``[net]`` names a factory of `FACTORIES` and its arguments; a ``diffusers`` net keeps its
``config.json`` in the folder named there. ``guide`` may name the folder of a weaker model, as seen
from this one. A codec with facts beside its name has a table ``[codec]``. Unknown keys are errors,
so that a misspelt fact is never a silent default.
"""

from __future__ import annotations

import dataclasses
import enum
import tomllib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import tomli_w
import torch
from safetensors.torch import save
from torch import Tensor, nn

from hasten.adapters.codecs import read_codec, write_codec
from hasten.adapters.diffusers.load import build_net, save_config
from hasten.adapters.module import check
from hasten.adapters.weights import digest, put_tensors, read_tensors
from hasten.core.model import Call, Classes, Energies, Model
from hasten.core.process import (
    EDM,
    VP,
    X0,
    DiscreteVP,
    Eps,
    Flow,
    Law,
    Prediction,
    Process,
    Raw,
    V,
    Velocity,
)
from hasten.errors import ModelError, WeightsError
from hasten.files import atomic_write_bytes, atomic_write_text
from hasten.models.calodit import CaloDiT, LayerNet
from hasten.models.uvit import UViT

CARD, WEIGHTS = "card.toml", "weights.safetensors"

FACTORIES: dict[str, Callable[[Path, Mapping[str, Any]], nn.Module]] = {
    "uvit": lambda _folder, config: UViT(**config),
    "calodit": lambda _folder, config: CaloDiT(**config),
    "layers": lambda _folder, config: LayerNet(**config),
    "diffusers": lambda folder, config: build_net(folder / str(config["folder"])),
}
"""What ``[net] factory`` may be: makes a net without weights from the card's folder and table."""

PROCESSES: dict[str, type[Process]] = {
    "vp": VP,
    "discrete_vp": DiscreteVP,
    "edm": EDM,
    "flow": Flow,
}
PREDICTIONS: dict[str, type[Prediction]] = {
    "eps": Eps,
    "x0": X0,
    "v": V,
    "velocity": Velocity,
    "raw": Raw,
}

_NEEDED = {"name", "kind", "shape", "net", "process", "prediction"}
_FREE = {"about", "guide", "reference", "judge", "training", "quality"}
_KNOWN = _NEEDED | _FREE | {"clip", "codec", "call", "classes", "energies", "weights"}


def read_card(folder: Path) -> dict[str, Any]:
    """The facts in a folder's ``card.toml``; see `read_facts`."""
    return read_facts(folder / CARD)


def is_model(folder: Path) -> bool:
    """Whether the card in a folder is a model's; judges have cards too, but no process.

    Raises:
        ModelError: If the card cannot be read.
    """
    return "process" in _toml(folder / CARD)


def read_facts(path: Path, more: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The facts in a card or in another file of its form, keys checked.

    Args:
        path: A TOML file.
        more: Keys it may have beyond a card's.

    Raises:
        ModelError: If it is missing, unreadable, incomplete, or has unknown keys.
    """
    card = _toml(path)
    if "judge" in card and "process" not in card:
        raise ModelError(
            "this is a judge of samples, not a model to sample from",
            where=str(path),
            hint="give it as --judge",
        )
    only(card, _KNOWN | more, _NEEDED, str(path))
    tables = _KNOWN - {"name", "kind", "shape", "clip", "codec", "weights", "about", "guide"}
    for key in tables & card.keys():
        if not isinstance(card[key], dict):
            raise ModelError(f"{key} must be a table", where=str(path))
    return card


def load_bundle(folder: Path) -> Model:
    """The model in a folder, its weights in single precision, in evaluation mode; its guide too.

    Its ``card`` holds the whole card, and ``card["folder"]`` where it came from.

    Raises:
        ModelError: If the card is wrong, or the guide's.
        WeightsError: If the weights are, or belong to another card.
    """
    card = read_card(folder)
    guide = _guide(folder, card)
    weights = folder / WEIGHTS
    tensors, fingerprint = read_tensors(weights)
    if card.get("weights", fingerprint) != fingerprint:
        raise WeightsError(
            "weights and card do not belong together",
            where=str(folder),
            hint="one of the two was replaced; copy the folder again as a whole",
        )
    model = build(card, folder)
    put_tensors(model.net, tensors, str(weights))
    codec = read_codec(card.get("codec", "identity"), folder, load_bundle)
    model = model.replace(guide=guide, codec=codec)
    check(model)
    return model


def _guide(folder: Path, card: Mapping[str, Any]) -> Model | None:
    """The weaker model a card names, if any."""
    if "guide" not in card:
        return None
    place = folder / str(card["guide"])
    if not (place / CARD).is_file():
        raise ModelError(f"there is no model in {place}", where=f"{folder / CARD}, guide")
    if "guide" in read_card(place):  # or the card itself, for ever
        raise ModelError(
            "a guide is not guided itself",
            where=f"{folder / CARD}, guide",
            hint="name a weaker model whose card has no guide",
        )
    return load_bundle(place)


def build(card: Mapping[str, Any], folder: Path) -> Model:
    """The model a card describes, its net with fresh weights, in evaluation mode.

    Args:
        card: As `read_card` gives it; its guide and its codec are left out.
        folder: Where files the card refers to lie.

    Raises:
        ModelError: If the card is wrong.
    """
    where = str(folder / CARD)
    net = _net(folder, card["net"], where)
    classes = dict(card.get("classes", {}))
    if "names" in classes:
        classes["names"] = tuple(classes["names"])
    energies = dict(card.get("energies", {}))
    return Model(
        net=net.float().eval(),
        process=_made(PROCESSES, card["process"], "process", where),
        prediction=_made(PREDICTIONS, card["prediction"], "prediction", where),
        shape=tuple(card["shape"]),
        call=_build(Call, dict(card.get("call", {})), "call", where),
        clip=card.get("clip"),
        classes=_build(Classes, classes, "classes", where) if classes else None,
        energies=_build(Energies, energies, "energies", where) if energies else None,
        name=card["name"],
        kind=card["kind"],
        card={**card, "folder": str(folder)},
    )


def save_bundle(
    folder: Path,
    model: Model,
    net: Mapping[str, Any],
    facts: Mapping[str, Any],
    *,
    half: torch.dtype = torch.float16,
) -> None:
    """Write a model as a folder that `load_bundle` reads; each file whole or not at all.

    Args:
        folder: Made if missing; other files in it stay.
        model: Net and facts; its own ``card`` is not written.
        net: The card's ``[net]``: ``{"factory": "uvit", ...}`` or
            ``{"factory": "diffusers", "folder": "net"}``.
        facts: ``about``, ``guide``, ``reference``, ``judge``, ``training``, ``quality``; any of
            them. A model with a guide needs the name of the folder that the guide is saved in.
        half: Precision on disk; a tensor beyond float16's range is kept in bfloat16.

    Raises:
        ModelError: If the facts cannot be written on a card, or ``net`` does not describe the net.
        RunError: If the folder cannot be written.
    """
    only(dict(facts), _FREE, set(), "facts")
    if model.guide is not None and "guide" not in facts:
        raise ModelError(
            "the model's guide would be lost",
            where=model.name,
            hint='save the guide in a folder of its own and state it: {"guide": "guide", ...}',
        )
    table = dict(net)
    if table.get("factory") == "diffusers":
        save_config(model.net, folder / str(table["folder"]))
    tensors = {name: _halved(t, half) for name, t in model.net.state_dict().items()}
    put_tensors(_net(folder, table, "net"), tensors, "the net to be saved")
    content = save(tensors)
    card: dict[str, Any] = {
        "name": model.name,
        "kind": model.kind,
        "shape": list(model.shape),
        "codec": write_codec(model.codec, folder),
        "weights": digest(content),
        "net": table,
        "process": _named(PROCESSES, model.process, "process"),
        "prediction": _named(PREDICTIONS, model.prediction, "prediction"),
        "call": _fields(model.call),
        **facts,
    }
    if model.clip is not None:
        card["clip"] = model.clip
    if model.classes is not None:
        card["classes"] = _fields(model.classes)
    if model.energies is not None:
        card["energies"] = _fields(model.energies)
    atomic_write_bytes(folder / WEIGHTS, content)
    _write_card(folder, card)


def update_card(folder: Path, facts: Mapping[str, Any]) -> None:
    """Add or replace facts on an existing card (say ``quality``, once it is measured).

    Raises:
        ModelError: If the card is unreadable or a fact is not one of those `save_bundle` takes.
        RunError: If it cannot be written.
    """
    only(dict(facts), _FREE, set(), "facts")
    _write_card(folder, {**read_card(folder), **facts})


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as cause:
        raise ModelError(f"this card cannot be read: {cause}", where=str(path)) from cause


def _write_card(folder: Path, card: Mapping[str, Any]) -> None:
    # TOML wants plain keys before tables
    ordered = sorted(card.items(), key=lambda item: isinstance(item[1], Mapping))
    try:
        text = tomli_w.dumps(dict(ordered))
    except (TypeError, ValueError) as cause:
        raise ModelError(
            f"these facts cannot be written on a card: {cause}",
            where=str(folder / CARD),
            hint="numbers, text, lists and tables of them; leave out what is not known",
        ) from cause
    atomic_write_text(folder / CARD, text)


def _net(folder: Path, table: Mapping[str, Any], where: str) -> nn.Module:
    config = {key: value for key, value in table.items() if key != "factory"}
    factory = FACTORIES.get(str(table.get("factory")))
    if factory is None:
        raise ModelError(
            f"unknown factory {table.get('factory')!r}", where=where, hint=f"known: {[*FACTORIES]}"
        )
    try:
        return factory(folder, config)
    except (TypeError, ValueError, KeyError) as cause:
        raise ModelError(f"the net cannot be made: {cause}", where=f"{where}, [net]") from cause


def _made(table: Mapping[str, Any], facts: Mapping[str, Any], key: str, where: str) -> Any:
    """An instance of the type that ``facts["name"]`` says, from the other facts."""
    kind = table.get(str(facts.get("name")))
    if kind is None:
        raise ModelError(
            f"unknown {key} {facts.get('name')!r}", where=where, hint=f"known: {[*table]}"
        )
    values = {name: value for name, value in facts.items() if name != "name"}
    if "law" in values:
        values["law"] = _law(values["law"], where)
    if "abar" in values:
        values["abar"] = tuple(values["abar"])
    return _build(kind, values, key, where)


def _law(text: Any, where: str) -> Law:
    try:
        return Law(text)
    except ValueError as cause:
        known = [law.value for law in Law]
        raise ModelError(f"unknown law {text!r}", where=where, hint=f"known: {known}") from cause


def _build(kind: Callable[..., Any], values: Mapping[str, Any], key: str, where: str) -> Any:
    try:
        return kind(**values)
    except TypeError as cause:
        raise ModelError(f"wrong facts for {key}: {cause}", where=where) from cause


def _named(table: Mapping[str, type[Any]], value: Any, key: str) -> dict[str, Any]:
    for name, kind in table.items():
        if type(value) is kind:
            return {"name": name, **_fields(value)}
    raise ModelError(
        f"a {key} of type {type(value).__name__} cannot be written on a card",
        hint=f"known: {[*table]}; keep such a model as file.py:function",
    )


def _fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass as TOML has them; those that are None are left out."""
    out: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if isinstance(item, enum.Enum):
            item = item.value
        if isinstance(item, tuple):
            item = list(item)
        if item is not None:
            out[field.name] = item
    return out


def _halved(tensor: Tensor, half: torch.dtype) -> Tensor:
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        small = tensor.to(half)
        tensor = small if bool(torch.isfinite(small).all()) else tensor.to(torch.bfloat16)
    return tensor.clone().contiguous()


def only(
    table: Mapping[str, Any], known: Collection[str], needed: Collection[str], where: str
) -> None:
    """Refuse keys that are not known, and the lack of those that are needed.

    Raises:
        ModelError: Naming them.
    """
    if unknown := sorted(set(table) - set(known)):
        raise ModelError(f"unknown keys {unknown}", where=where, hint=f"known: {sorted(known)}")
    if missing := sorted(set(needed) - set(table)):
        raise ModelError(f"missing keys {missing}", where=where)
