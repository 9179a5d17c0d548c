"""``hasten sample``."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hasten.cli import choices, subjects, talk
from hasten.errors import DataError
from hasten.files import atomic_write_bytes, check_writable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FORMS = (".png", ".npz")


def sample(
    model: choices.ModelName,
    recipe: choices.RecipeFile = None,
    n: Annotated[int, typer.Option("-n", help="Number of samples.")] = 64,
    seed: choices.Seed = 0,
    classes: choices.ClassNames = None,
    cond: choices.Condition = None,
    guidance: choices.Guidance = 1.0,
    guide: choices.Guide = None,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="A .png of all images in a grid, or a .npz archive.")
    ] = Path("samples.png"),
    batch: choices.Batch = 64,
    device: choices.Device = None,
    dtype: choices.Dtype = None,
    threads: choices.Threads = None,
) -> None:
    """Sample from a model, with a recipe or with the sampler on its card.

    Sample i begins from the noise of seed + i, whatever the batch, so two recipes can be compared
    picture by picture.
    """
    subjects.positive(n, "-n")
    if out.suffix not in _FORMS:
        raise DataError(
            f"unknown kind of file {out.suffix or out.name!r}",
            where=str(out),
            hint="name it .png or .npz",
        )
    check_writable(out)
    import numpy as np
    import torch

    from hasten.applying import apply

    net = subjects.open_model(model, device, dtype, threads)
    if guide is not None:
        net = net.replace(guide=subjects.open_model(guide, device, dtype))
    if out.suffix == ".png":
        _check_pictures(net.shape, net.name)
    wanted = subjects.conditions(net, n, classes, cond)
    chosen = subjects.open_recipe(recipe, net, model)
    if guide is not None:
        subjects.guided(chosen, net, guidance)
    seeds = range(seed, seed + n)
    size = batch or n
    parts = []
    with apply(net, chosen, guidance=guidance) as fast, talk.progress("sampling") as advance:
        for start in range(0, n, size):
            advance(start, n)
            piece = seeds[start : start + size]
            given = None if wanted is None else wanted[start : start + size].to(net.device)
            parts.append(fast.sample(piece, given).float().cpu())
    samples = torch.cat(parts).numpy()
    if out.suffix == ".png":
        atomic_write_bytes(out, picture_grid(samples))
    else:
        arrays = {
            "samples": samples,
            "seeds": np.arange(seed, seed + n),
            "recipe": np.array(chosen.dumps()),
        }
        if wanted is not None:
            arrays["cond"] = wanted.numpy()
        atomic_write_bytes(out, _archive(arrays))
    talk.say(f"{n} samples, {fast.plan.nfe} evaluations each ({chosen.label})")
    typer.echo(str(out))


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
