"""``hasten data``: bringing, converting and looking at sets of images."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hasten.cli import choices, talk
from hasten.cli.simulating import gflash

if TYPE_CHECKING:
    from hasten.data.images import Images

app = typer.Typer(no_args_is_help=True, help="Fetch, convert and look at images.")


class Part(enum.StrEnum):
    """A part of a data set."""

    TRAIN = "train"
    TEST = "test"


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
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Images in any readable form.")],
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="An empty folder for the shards.")],
    name: Annotated[
        str | None,
        typer.Option(help="First part of the files' names.", show_default=False),
    ] = None,
    split: Annotated[Part | None, typer.Option(help="Only this part.", show_default=False)] = None,
) -> None:
    """Write images as lossless .npz shards of at most 45 MiB."""
    from hasten.data.convert import convert as write

    with talk.progress("converting") as advance:
        paths = write(
            source,
            out,
            name=name,
            split=split.value if split else None,
            progress=lambda file, done, total: advance(done, total, file),
        )
    for path in paths:
        typer.echo(str(path))


@app.command()
def info(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Images in any readable form.")],
    form: choices.Output = talk.Format.TABLE,
) -> None:
    """Show what a set of images holds."""
    from hasten.data.images import load_images, splits_of

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
