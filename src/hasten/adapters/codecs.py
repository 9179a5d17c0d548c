"""Codecs on a card: a name, or a table of facts with files beside it."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save

from hasten.adapters.cells import Cells
from hasten.adapters.showers import LayerEnergies, Showers
from hasten.adapters.weights import read_tensors
from hasten.core.model import Codec, Energies, Identity, Model, Pixels
from hasten.core.plan import Plan, from_dict
from hasten.data.geometry import GEOMETRIES, Geometry
from hasten.data.showers.binning import geometry_from_text, geometry_text
from hasten.errors import ModelError, PlanError
from hasten.files import atomic_write_bytes
from hasten.models.calibration import Calibration, Spread
from hasten.models.scale import Logit, Scale
from hasten.solvers import stock_plan

TABLES, PLAN = "codec.safetensors", "plan.toml"
_SCALES: dict[str, type[Scale | Logit]] = {"gap": Scale, "logit": Logit}
LAYERS = "layers"
"""Folder of the layer model beside a shower model's card."""
CALIBRATION, TRUE = "calibration", "true"
"""Keys among the tables of the maps, and of how true showers are spread."""

Load = Callable[[Path], Model]

_FIND = "hasten plan find writes what is read here; without the file the card's solver is used"


def read_codec(facts: Any, folder: Path, load: Load) -> Codec:
    """The codec a card states.

    Args:
        facts: Its name, or a table with its name and facts.
        folder: Where files beside the card lie.
        load: Opens the model in a folder.

    Raises:
        ModelError: If there is no such codec, or facts or files are wrong.
    """
    table = {"name": facts} if isinstance(facts, str) else dict(facts)
    name = table.pop("name", None)
    if name not in _READERS:
        raise ModelError(
            f"unknown codec {name!r}", where=str(folder), hint=f"known: {', '.join(_READERS)}"
        )
    try:
        return _READERS[name](table, folder, load)
    except (KeyError, TypeError) as cause:
        raise ModelError(f"wrong facts for the codec {name}: {cause}", where=str(folder)) from cause


def write_codec(codec: Codec, folder: Path) -> str | dict[str, Any]:
    """What `read_codec` makes it from; files it needs are written beside the card.

    Raises:
        ModelError: If a card cannot say it, or the layer model of a shower codec is not there yet.
    """
    if isinstance(codec, Identity):
        return "identity"
    if isinstance(codec, Pixels):
        return "pixels"
    if isinstance(codec, LayerEnergies):
        tables = {"centre": codec.centre.contiguous(), "spread": codec.spread.contiguous()}
        atomic_write_bytes(folder / TABLES, save(tables))
        return {
            "name": "layer-energies",
            "energies": dataclasses.asdict(codec.energies),
            "scale": dataclasses.asdict(codec.scale),
        }
    if isinstance(codec, Showers):
        return _write_showers(codec, folder)
    if isinstance(codec, Cells):
        kind = next(name for name, known in _SCALES.items() if isinstance(codec.scale, known))
        return {
            "name": "cells",
            "geometry": _stated(codec.geometry),
            "energies": dataclasses.asdict(codec.energies),
            "centre": codec.centre,
            "spread": codec.spread,
            "scale": {"name": kind, **dataclasses.asdict(codec.scale)},
        }
    raise ModelError(
        f"a codec of type {type(codec).__name__} cannot be written on a card",
        hint=f"known: {', '.join(_READERS)}; keep such a model as file.py:function",
    )


def _layer_energies(table: Mapping[str, Any], folder: Path, _: Load) -> Codec:
    tensors, _fingerprint = read_tensors(folder / TABLES)
    return LayerEnergies(
        Energies(**table["energies"]), Scale(**table["scale"]), tensors["centre"], tensors["spread"]
    )


def _showers(table: Mapping[str, Any], folder: Path, load: Load) -> Codec:
    facts = dict(table)
    geometry, layers = _geometry(facts.pop("geometry"), folder), load(folder / facts.pop("layers"))
    scale, maps, true = (facts.pop(key, None) for key in ("scale", CALIBRATION, TRUE))
    more: dict[str, Any] = {}
    if maps or true:
        tables = read_tensors(folder / TABLES)[0]
        if maps:
            more[CALIBRATION] = Calibration(**maps, table=tables[CALIBRATION])
        if true:
            above, units = (tables[f"{TRUE}/{part}"] for part in ("above", "units"))
            more[TRUE] = Spread(**true, above=above, units=units)
    return Showers(geometry, layers, own_plan(layers), Scale(**scale), **facts, **more)


def _cells(table: Mapping[str, Any], folder: Path, _: Load) -> Codec:
    facts = dict(table)
    scale, energies = dict(facts.pop("scale")), Energies(**facts.pop("energies"))
    made = _SCALES[scale.pop("name")](**scale)
    return Cells(_geometry(facts.pop("geometry"), folder), energies, made, **facts)


def _geometry(stated: str, folder: Path) -> Geometry:
    if stated.startswith("{"):
        return geometry_from_text(stated, str(folder))
    if stated not in GEOMETRIES:
        raise ModelError(
            f"unknown geometry {stated!r}", where=str(folder), hint=f"known: {[*GEOMETRIES]}"
        )
    return GEOMETRIES[stated]


def _stated(geometry: Geometry) -> str:
    """A known geometry's name, or all of another."""
    if GEOMETRIES.get(geometry.name) == geometry:
        return geometry.name
    return geometry_text(geometry)


def _write_showers(codec: Showers, folder: Path) -> dict[str, Any]:
    if not (folder / LAYERS).is_dir():
        raise ModelError(
            "the layer model would be lost",
            where=str(folder),
            hint=f"save it first, in the folder {LAYERS} there",
        )
    facts: dict[str, Any] = {
        "name": "showers",
        "geometry": _stated(codec.geometry),
        "layers": LAYERS,
        "centre": codec.centre,
        "spread": codec.spread,
        "scale": dataclasses.asdict(codec.scale),
    }
    tables = {}
    if (maps := codec.calibration) is not None:
        facts[CALIBRATION] = {"high": maps.high, "gap": maps.gap}
        tables[CALIBRATION] = maps.table.contiguous()
    if (true := codec.true) is not None:
        facts[TRUE] = {"high": true.high, "gap": true.gap}
        tables |= {f"{TRUE}/above": true.above.contiguous(), f"{TRUE}/units": true.units}
    if tables:
        atomic_write_bytes(folder / TABLES, save(tables))
    return facts


def geometry_of(model: Model) -> Geometry:
    """Where the cells of a model's showers are.

    Raises:
        ModelError: If its samples are no showers.
    """
    if not isinstance(model.codec, (Showers, Cells)):
        raise ModelError(
            "samples of this model are no showers",
            where=model.name,
            hint="a shower model has the codec hasten.adapters.showers.Showers",
        )
    return model.codec.geometry


def own_plan(model: Model) -> Plan:
    """How a model is sampled where it is only asked on the way.

    By the rows of the recipe ``plan.toml`` in its folder, as ``hasten plan find`` writes it, else
    by the solver its card names.

    Raises:
        ModelError: If neither says how.
        PlanError: If the recipe is not one of rows alone.
    """
    path = Path(model.card.get("folder", "")) / PLAN
    if "folder" in model.card and path.is_file():
        return _rows(path)
    try:
        facts = model.card["reference"]["speed"]
        return stock_plan(model.process, facts["solver"], facts["grid"], facts["steps"])
    except KeyError as cause:
        raise ModelError(
            "the card does not say how this model is sampled",
            where=model.name,
            hint='state it: reference.speed = {solver = "dpmpp_2m", grid = "karras", steps = 12}',
        ) from cause


def _rows(path: Path) -> Plan:
    try:
        facts = tomllib.loads(path.read_text("utf-8"))
        plan = from_dict(facts["plan"])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, PlanError) as cause:
        what = cause.what if isinstance(cause, PlanError) else cause
        raise PlanError(
            f"this is not a plan of rows: {what}", where=str(path), hint=_FIND
        ) from cause
    if "method" in facts:
        raise PlanError(
            "no method can be applied to a model that is asked on the way",
            where=str(path),
            hint=_FIND,
        )
    return plan


_READERS: dict[str, Callable[[Mapping[str, Any], Path, Load], Codec]] = {
    "identity": lambda _table, _folder, _load: Identity(),
    "pixels": lambda _table, _folder, _load: Pixels(),
    "layer-energies": _layer_energies,
    "showers": _showers,
    "cells": _cells,
}
"""How a codec is made from the rest of its table, the card's folder, and what opens models."""
