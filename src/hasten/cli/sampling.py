"""``hasten sample``."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, final

import typer

from hasten.cli import choices, subjects, talk
from hasten.errors import DataError
from hasten.files import atomic_write_bytes, check_writable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from hasten.core.model import Energies, Model
    from hasten.recipe import Recipe


COUNT = 64
"""Samples where nobody says how many."""


def sample(
    model: choices.ModelName,
    recipe: choices.RecipeFile = None,
    n: Annotated[
        int | None,
        typer.Option(
            "-n",
            help="Number of samples; by default 64, or as many as the file of --energy has.",
            show_default=False,
        ),
    ] = None,
    seed: choices.Seed = 0,
    classes: choices.ClassNames = None,
    cond: choices.Condition = None,
    energy: choices.Energy = None,
    beyond: choices.Beyond = False,
    guidance: choices.Guidance = 1.0,
    guide: choices.Guide = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="A .png of all images in a grid, a .npz archive, or a .h5 or .hdf5 file of "
            "showers. "
            "[default: samples.png, for showers samples.h5]",
            show_default=False,
        ),
    ] = None,
    batch: choices.Batch = 64,
    device: choices.Device = None,
    dtype: choices.Dtype = None,
    threads: choices.Threads = None,
) -> None:
    """Sample from a model, with a recipe or with the sampler on its card.

    Sample i begins from the noise of seed + i, whatever the batch, so two recipes can be compared
    picture by picture.
    """
    if n is not None:
        subjects.positive(n, "-n")
    if out is not None:
        _check_form(out)
    import torch

    from hasten.applying import apply
    from hasten.data.showers.hdf5 import require_hdf5
    from hasten.data.showers.stores import HDF5_ENDINGS

    net = subjects.open_model(model, device, dtype, threads)
    if guide is not None:
        net = net.replace(guide=subjects.open_model(guide, device, dtype))
    out = out or Path("samples.h5" if net.kind == "shower" else "samples.png")
    _check_form(out)
    if out.suffix == ".png":
        _check_pictures(net.shape, net.name)
    if out.suffix in HDF5_ENDINGS:
        _check_showers(net)
        require_hdf5()  # missed now rather than after the sampling
    count = n or subjects.listed(energy) or COUNT
    seeds = range(seed, seed + count)
    wanted = subjects.conditions(net, seeds, classes=classes, cond=cond, energy=energy)
    trained = net.energies
    if beyond and trained is not None:
        net = net.replace(energies=trained.covering(wanted))
    outside = ""
    if trained is not None and net.energies != trained:
        outside = _beyond(wanted, trained)
        talk.say(f"warning     {outside}: nothing vouches for showers beyond", "yellow")
    if recipe is None and (own := _own_recipes(net)):
        noun = "the recipe" if len(own) == 1 else "the recipes"
        talk.say(f"{net.name} comes with {noun} {', '.join(own)}: -r {own[0]}")
    chosen = subjects.open_recipe(recipe, net, model)
    if guide is not None:
        subjects.guided(chosen, net, guidance)
    size = batch or count
    parts = []
    with (
        talk.progress("sampling") as advance,
        apply(net, chosen, guidance=guidance, progress=talk.part(advance, "preparing")) as fast,
    ):
        for start in range(0, count, size):
            advance(start, count, "sampling")
            piece = seeds[start : start + size]
            given = None if wanted is None else wanted[start : start + size].to(net.device)
            parts.append(fast.sample(piece, given).float().cpu())
    _FORMS[out.suffix](out, Made(net, chosen, torch.cat(parts), seeds, wanted, outside))
    talk.say(f"{count} samples, {fast.plan.nfe} evaluations each ({chosen.label})")
    typer.echo(str(out))


@final
@dataclass(frozen=True)
class Made:
    """What was sampled, how, and under which conditions; how far beyond the training, in words."""

    model: Model
    recipe: Recipe
    samples: Tensor
    seeds: range
    cond: Tensor | None
    outside: str = ""


def _own_recipes(net: Model) -> list[str]:
    """Names of the recipes in a model's folder."""
    folder = net.card.get("folder")
    return [] if folder is None else sorted(p.stem for p in Path(folder).glob("recipes/*.toml"))


def _beyond(asked: Tensor, trained: Energies) -> str:
    """Energies beyond the training, in words."""
    ends = (float(asked.min()), float(asked.max()), trained.low, trained.high)
    low, high, least, most = (f"{end / 1000:g}" for end in ends)
    return f"energies from {low} to {high} GeV, and the model was trained from {least} to {most}"


def _check_showers(net: Model) -> None:
    if net.kind != "shower":
        raise DataError(
            "samples of this model are no showers", where=net.name, hint="name it .png or .npz"
        )


def _check_form(out: Path) -> None:
    if out.suffix not in _FORMS:
        raise DataError(
            f"unknown kind of file {out.suffix or out.name!r}",
            where=str(out),
            hint=f"name it {', '.join(_FORMS)}",
        )
    check_writable(out)


def _write_pictures(out: Path, made: Made) -> None:
    atomic_write_bytes(out, picture_grid(made.samples.numpy()))


def _write_archive(out: Path, made: Made) -> None:
    if made.model.kind == "shower":  # as every other room reads them
        _write_showers(out, made)
        return
    import numpy as np

    arrays = {
        "samples": made.samples.numpy(),
        "seeds": np.array(made.seeds),
        "recipe": np.array(made.recipe.dumps()),
    }
    if made.cond is not None:
        arrays["cond"] = made.cond.numpy()
    atomic_write_bytes(out, _archive(arrays))


def _write_showers(out: Path, made: Made) -> None:
    from hasten.adapters.codecs import geometry_of
    from hasten.data.showers import Showers, save_showers

    if made.cond is not None:
        energies, cells = made.cond.numpy(), made.samples.numpy()
        found = Showers(energies, cells, geometry_of(made.model), made.model.name)
        how = {"creator": f"hasten, {made.model.name}", "recipe": made.recipe.dumps()}
        how |= {"beyond": made.outside} if made.outside else {}
        save_showers(out, found, attributes={**how, "first_seed": made.seeds[0]})


_FORMS: dict[str, Callable[[Path, Made], None]] = {
    ".png": _write_pictures,
    ".npz": _write_archive,
    ".h5": _write_showers,
    ".hdf5": _write_showers,
}
"""How samples are written, by the ending of the file."""


def _check_pictures(shape: tuple[int, ...], name: str) -> None:
    if len(shape) != 3 or shape[0] not in (1, 3, 4):
        raise DataError(
            f"samples of shape {shape} are no pictures",
            where=name,
            hint="write them to a .npz archive: -o samples.npz",
        )


def picture_grid(samples: NDArray[np.float32], gap: int = 2) -> bytes:
    """Images [n, C, H, W] in [0, 1] as one PNG, near enough square.

    Raises:
        DataError: If decoded samples are no images after all.
    """
    import numpy as np
    from PIL import Image

    if samples.ndim != 4 or samples.shape[1] not in (1, 3):
        raise DataError(
            f"decoded samples of shape {samples.shape[1:]} are no pictures", hint="-o samples.npz"
        )
    n, channels, height, width = samples.shape
    columns = math.ceil(math.sqrt(n * height / width))
    rows = math.ceil(n / columns)
    sheet = np.full(
        (rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 255, np.uint8
    )
    pixels = np.rint(np.clip(np.moveaxis(samples, 1, -1), 0, 1) * 255).astype(np.uint8)
    for index, picture in enumerate(pixels):
        row, column = divmod(index, columns)
        top, left = row * (height + gap) + gap, column * (width + gap) + gap
        sheet[top : top + height, left : left + width] = picture
    buffer = io.BytesIO()
    Image.fromarray(sheet[..., 0] if channels == 1 else sheet).save(buffer, "PNG")
    return buffer.getvalue()


def _archive(arrays: dict[str, Any]) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
