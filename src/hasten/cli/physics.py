"""``hasten physics``: showers of any origin against true ones."""

from __future__ import annotations

import enum
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hasten.cli import choices, showers, talk
from hasten.errors import DataError

if TYPE_CHECKING:
    from hasten.data.showers import Showers
    from hasten.measure.physics.slices import Against
    from hasten.measure.physics.summary import Physics, Row
    from hasten.measure.result import Measurement


class Costly(enum.StrEnum):
    """Figures that take their time."""

    FPD = "fpd"
    KPD = "kpd"
    HIGH = "high"
    LOW = "low"


def physics(
    judged: Annotated[
        Path, typer.Argument(metavar="SHOWERS", help="Showers in any readable form.")
    ],
    reference: Annotated[
        Path, typer.Argument(metavar="REFERENCE", help="True showers of the same law of energies.")
    ],
    truth: Annotated[
        Path | None,
        typer.Option(
            help="Other true showers, for the row beside; by default the reference is halved.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        showers.Part | None,
        typer.Option(help="Only this part of the reference.", show_default=False),
    ] = None,
    rows: showers.Rows = None,
    also: Annotated[
        list[Costly] | None,
        typer.Option(
            "--also",
            help="Figures that take their time: fpd, kpd, and the AUC of classifiers on high- "
            "and low-level features. May be given several times.",
            show_default=False,
        ),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help="Name or folder of a judge (hasten data judge): adds the distance in its "
            "features, which verdicts go by.",
            show_default=False,
        ),
    ] = None,
    low: Annotated[
        float | None,
        typer.Option(
            metavar="GEV", help="Only showers of at least this incident energy.", show_default=False
        ),
    ] = None,
    high: Annotated[
        float | None,
        typer.Option(
            metavar="GEV", help="Only showers of at most this incident energy.", show_default=False
        ),
    ] = None,
    geometry: showers.GeometryName = None,
    form: choices.Output = talk.Format.TABLE,
) -> None:
    """Hold showers against true ones: every observable, beside what true showers would get.

    With --low and --high all of it for a slice of the incident energy. Most of it takes seconds for
    some thousand showers; with --also, up to minutes.
    """
    from hasten.data.showers import load_showers
    from hasten.measure.physics.summary import measure_physics, showers_for_fpd
    from hasten.tuning.standard import shower_features

    features = None if judge is None else shower_features(judge)
    with talk.progress("measuring"):
        real = load_showers(
            reference, geometry=geometry, rows=rows, split=split.value if split else None
        )
        made = _within(load_showers(judged, geometry=real.geometry, rows=rows), low, high)
        real, others = _within(real, low, high), None
        if truth is not None:
            more = _within(load_showers(truth, geometry=real.geometry, rows=rows), low, high)
            others = more.cells, more.energies
        found = measure_physics(
            made.cells,
            made.energies,
            real.cells,
            real.energies,
            real.geometry,
            truth=others,
            features=features,
            costly=[each.value for each in also or ()],
        )
    if found.judged.separations["incident energy"].corrected.low > 0:
        talk.say(
            "warning     the incident energies of the two sides differ, so nothing else here means "
            "anything: hasten sample --energy FILE takes those of a file",
            "yellow",
        )
    if Costly.FPD in (also or ()) and found.judged.fpd is None:
        talk.say(f"FPD needs at least {showers_for_fpd(real.geometry):,} showers on either side")
    if form is talk.Format.JSON:
        talk.emit_json(found.to_dict())
        return
    _print(found)


def _within(found: Showers, low: float | None, high: float | None) -> Showers:
    """Showers whose incident energies lie between two, GeV; all where neither is given."""
    least, most = 1000 * (low or 0.0), math.inf if high is None else 1000 * high
    if low is None and high is None:
        return found
    kept = found.part((found.energies >= least) & (found.energies <= most))
    if not len(kept):
        ends = f"{low or 0:g} to {'any' if high is None else format(high, 'g')} GeV"
        raise DataError(
            f"no showers of {ends}; it has {found.energies.min() / 1000:.4g} to "
            f"{found.energies.max() / 1000:.4g} GeV",
            where=found.name,
            hint="--low and --high are incident energies in GeV",
        )
    return kept


def _print(found: Physics) -> None:
    talk.say(
        f"{found.n:,} showers against {found.m:,} true ones, {found.geometry}; the columns of true "
        "ones are true showers judged in the same way"
    )
    talk.emit_table(
        ("separation × 1000", ">showers", ">true ones", ">chance"),
        [
            (
                name,
                _thousandth(row.corrected),
                _thousandth(found.floor.separations[name].corrected),
                f"{1000 * row.floor:.1f}",
            )
            for name, row in found.judged.separations.items()
        ],
    )
    for name, title in _SLICED.items():
        talk.emit_table(
            (f"{title} / true", ">n", ">showers", ">true ones"),
            [
                (
                    f"{each.low / 1000:.3g} to {each.high / 1000:.3g} GeV",
                    f"{each.n:,}",
                    *(_sliced(getattr(side, name)) for side in (each, beside)),
                )
                for each, beside in zip(found.judged.slices, found.floor.slices, strict=True)
            ],
        )
    talk.emit_table(
        ("figure", ">showers", ">true ones"),
        [
            (title, _figure(one), _figure(other))
            for title, one, other in zip(
                _TITLES.values(), _figures(found.judged), _figures(found.floor), strict=True
            )
            if one is not None
        ],
    )


_SLICED = {
    "response": "response",
    "resolution": "resolution",
    "core": "resolution by the central 68 %",
}

_TITLES = {
    "distance": "distance in the judge's features",
    "correlation_largest": "correlations of layers, largest difference",
    "correlation_rms": "correlations of layers, RMS difference",
    "fpd": "FPD × 1000",
    "kpd": "KPD × 1000",
    "high": "AUC, high-level",
    "low": "AUC, low-level",
}


def _figures(row: Row) -> list[Any]:
    values = [getattr(row, name) for name in _TITLES]
    return [
        _scaled(value) if name in ("fpd", "kpd") else value
        for name, value in zip(_TITLES, values, strict=True)
    ]


def _scaled(found: Measurement | None) -> tuple[float, float, float] | None:
    return None if found is None else (1e3 * found.value, 1e3 * found.low, 1e3 * found.high)


def _figure(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, tuple):
        return f"{value[0]:.3g} ({value[1]:.3g} to {value[2]:.3g})"
    return _ratio(value)


def _sliced(found: Against | None) -> str:
    return _ratio(found.ratio if found else None)


def _ratio(found: Measurement | None) -> str:
    if found is None:
        return "too few"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def _thousandth(found: Measurement) -> str:
    return f"{1000 * found.value:.1f} ± {500 * (found.high - found.low):.1f}"
