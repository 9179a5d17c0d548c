"""``hasten data``: bringing, converting and looking at sets of images and showers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hasten.cli import choices, showers, talk
from hasten.cli.judging import judge
from hasten.cli.simulating import gflash
from hasten.errors import DataError

if TYPE_CHECKING:
    from hasten.data.images import Images

app = typer.Typer(no_args_is_help=True, help="Fetch, convert and look at data.")


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="fashion-mnist, mnist or cifar10.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Folder; by default data/NAME.", show_default=False),
    ] = None,
) -> None:
    """Download a public set of images; an interrupted download is continued."""
    from hasten.data.fetch import fetch as bring

    with talk.progress(f"fetching {name}") as advance:
        folder = bring(
            name,
            out or Path("data") / name,
            progress=lambda file, done, total: advance(done, total, file),
        )
    typer.echo(str(folder))


@app.command()
def convert(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="Images or showers in any readable form.")
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="Images: an empty folder for the shards. Showers: an .h5 or .npz file.",
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(help="Images: first part of the files' names.", show_default=False),
    ] = None,
    split: Annotated[
        showers.Part | None, typer.Option(help="Only this part.", show_default=False)
    ] = None,
    rows: showers.Rows = None,
    geometry: showers.GeometryName = None,
    axes: showers.AxesName = None,
    scale: showers.Scale = 1.0,
    energy_scale: showers.EnergyScale = 1.0,
) -> None:
    """Write images as lossless .npz shards of at most 45 MiB, showers as one CaloChallenge file."""
    from hasten.data.convert import convert as write
    from hasten.data.showers import holds_showers

    asked = {
        "rows": rows,
        "geometry": geometry,
        "axes": axes.value if axes else None,
        "scale": None if scale == 1 else scale,
        "energy_scale": None if energy_scale == 1 else energy_scale,
    }
    given = {option: value for option, value in asked.items() if value is not None}
    if holds_showers(source):
        _refuse("showers", {"name": name})
        part = split.value if split else None
        showers.convert(source, out, split=part, **given)
        return
    _refuse("images", given)
    if split is showers.Part.VALID:
        raise DataError("images have no valid part", where=str(source), hint="train or test")
    images: Literal["train", "test"] = "train" if split is showers.Part.TRAIN else "test"
    with talk.progress("converting") as advance:
        paths = write(
            source,
            out,
            name=name,
            split=images if split else None,
            progress=lambda file, done, total: advance(done, total, file),
        )
    for path in paths:
        typer.echo(str(path))


@app.command()
def info(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Images or showers in any readable form.")
    ],
    geometry: showers.GeometryName = None,
    axes: showers.AxesName = None,
    form: choices.Output = talk.Format.TABLE,
) -> None:
    """Show what a set of images or showers holds."""
    from hasten.data.images import load_images, splits_of
    from hasten.data.showers import holds_showers

    if holds_showers(path):
        showers.info(path, geometry, axes, form)
        return
    _refuse("images", {"geometry": geometry, "axes": axes})

    parts = splits_of(path) if path.exists() else (None,)
    found = [_part(load_images(path, part), part or "all") for part in parts]
    if form is talk.Format.JSON:
        talk.emit_json(found)
        return
    talk.emit_table(
        ("part", ">images", "shape", ">classes", ">mean", "names"),
        [
            (
                f["part"],
                f"{f['images']:,}",
                " x ".join(map(str, f["shape"])),
                str(f["classes"] or "none"),
                f"{f['mean']:.3f}",
                ", ".join(f["names"]),
            )
            for f in found
        ],
    )


app.command()(gflash)
app.command()(judge)


def _refuse(kind: str, options: dict[str, Any]) -> None:
    """Options that mean nothing for this kind of data are refused, not ignored."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        option = f"--{given[0].replace('_', '-')}"
        raise DataError(f"{option} means nothing for {kind}", hint="leave it out")


def _part(images: Images, name: str) -> dict[str, Any]:
    classes = 0 if images.labels is None else len(set(images.labels.tolist()))
    return {
        "part": name,
        "images": len(images),
        "shape": list(images.shape),
        "classes": classes,
        "names": list(images.classes),
        "mean": float(images.pixels.double().mean() / 255),
    }
