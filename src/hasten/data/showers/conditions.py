"""Conditions: the incident energies at which showers are asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hasten.core.model import Energies
from hasten.data.showers.checks import energy_advice, warn_of_units
from hasten.data.showers.files import Split, find_runs
from hasten.data.showers.runs import Floats, energies_of
from hasten.data.showers.survey import energy_law
from hasten.errors import DataError

MEV_PER_GEV = 1000.0


def conditions_from(
    source: str | Path, count: int, *, split: Split | None = None, energy_scale: float = 1.0
) -> Floats:
    """Incident energies for ``count`` showers, from a list or from a file of showers.

    A list is taken in turn: ``1,10,100`` makes every third shower one of 1 GeV. A file's energies
    are taken in its order and each once, so that a full set of samples has the energies of its
    reference exactly; if it has too few, that is an error rather than a repetition, which would
    weigh some energies double.

    Args:
        source: Numbers in GeV separated by commas, or a file or folder of showers. A text that
            consists of numbers is a list; a `Path` is always a file.
        count: How many.
        split: Of a file, only this part (see `hasten.data.showers.load_showers`).
        energy_scale: Factor to multiply a file's energies by, to have MeV.

    Returns:
        Energies [count], MeV.

    Raises:
        DataError: If the list has no positive numbers, the file cannot be read or has too few.

    Warns:
        UnitWarning: If a file's energies look like GeV.
        OrderWarning: If a split has other energies than its file.
    """
    if count < 1:
        raise DataError(f"energies for {count} showers were asked for", hint="ask for 1 or more")
    listed = None if isinstance(source, Path) else _numbers(source)
    if listed is not None:
        return np.resize(listed, count)
    path = Path(source).expanduser()
    if not str(source).strip() or not path.exists():
        raise DataError(
            f"'{source}' is neither a list of energies nor a file that is there",
            hint="give GeV separated by commas, such as 1,10,100, or a file of showers",
        )
    energies = energies_of([run for run, _ in find_runs(path, split)], energy_scale)
    warn_of_units(energy_advice(energies, energy_scale), str(path))
    if len(energies) < count:
        raise DataError(
            f"it has {len(energies):,} incident energies, {count:,} are needed",
            where=str(path),
            hint="ask for fewer showers, or list energies in GeV, which are taken in turn",
        )
    return energies[:count]


_LAWS = {"power": "log-uniform", "uniform": "uniform"}


def check_range(incident: Floats, energies: Energies, where: str, hint: str) -> None:
    """Refuse showers whose incident energies [n], MeV, are none of a model's: by range or by law.

    Args:
        incident: Of the showers.
        energies: Of the model.
        where: Name of the showers.
        hint: What to do about the range.

    Raises:
        DataError: If some lie outside by more than rounding, or as in `check_law`.
    """
    low, high = float(incident.min()), float(incident.max())
    if not (low >= energies.low * (1 - 1e-6) and high <= energies.high * (1 + 1e-6)):
        raise DataError(
            f"showers from {low:g} to {high:g} MeV, and the model is trained from "
            f"{energies.low:g} to {energies.high:g}",
            where=where,
            hint=hint,
        )
    check_law(incident, energies, where)


def check_law(incident: Floats, energies: Energies, where: str) -> None:
    """Refuse showers whose incident energies [n] follow the other of the two laws.

    Conditions are drawn by the model's law, so showers of another would be compared with showers
    of other energies. Fixed energies and laws nobody knows pass.

    Raises:
        DataError: If they do.
    """
    found = energy_law(incident)
    if found in _LAWS.values() and found != _LAWS[energies.law]:
        raise DataError(
            f"incident energies are {found}, and the model's law is {energies.law!r}",
            where=where,
            hint="state the law under [energies] (power: log-uniform; or uniform), or take showers "
            "of that law",
        )


def _numbers(text: str) -> Floats | None:
    """Positive numbers of GeV separated by commas, in MeV; None if it is something else."""
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        return None
    with np.errstate(over="ignore"):
        energies = (np.array(numbers) * MEV_PER_GEV).astype(np.float32)
    if not (np.isfinite(energies).all() and (energies > 0).all()):
        raise DataError(
            f"energies must be above 0 and finite, got {text}", hint="give GeV, such as 1,10,100"
        )
    return energies
