"""diffusers folders made into Models, from the keys of their configurations.

A pipeline folder has ``model_index.json`` and one folder a component; a bare folder has the net's
own ``config.json``, with ``scheduler_config.json`` in it or in ``scheduler/`` in or beside it. The
class named in a configuration is used for one thing only: to let diffusers build and fill the net.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from torch import Tensor, nn

from hasten.adapters.diffusers import library
from hasten.adapters.diffusers.scheduler_facts import Facts, facts
from hasten.adapters.module import check
from hasten.adapters.weights import check_file
from hasten.core.model import Call, Classes, Codec, Identity, Model, Pixels
from hasten.errors import ModelError, WeightsError

_NETS = ("unet", "transformer")
_DECODERS = ("vae", "vqvae")
_IDLE = ("scheduler", "id2label", "safety_checker", "feature_extractor")
_TEXT = ("text_encoder", "tokenizer", "bert", "prior", "image_encoder")

SPEED_REFERENCE = {"solver": "ddim", "grid": "uniform", "steps": 50}
"""What speed is counted against, unless the makers say otherwise."""


@final
@dataclass(frozen=True, eq=False)
class Latent(Codec):
    """Images decoded from latents by an autoencoder, shown in [0, 1].

    Attributes:
        decoder: The autoencoder; it follows the samples to their device.
        scale: Latents were multiplied by this in training.
        shift: After having been lowered by this.
    """

    decoder: nn.Module
    scale: float
    shift: float = 0.0

    def decode(self, x: Tensor, cond: Tensor | None) -> Tensor:
        """Images [B, C, H, W] from latents."""
        decoder = self.decoder.to(x.device)
        kind = next(decoder.parameters()).dtype
        latents = (x / self.scale + self.shift).to(kind)
        images: Tensor = decoder.decode(latents, return_dict=False)[0]  # type: ignore[operator]
        return Pixels().decode(images.to(x.dtype), cond)


def is_folder(folder: Path) -> bool:
    """Whether this looks like a diffusers folder."""
    return (folder / "model_index.json").is_file() or (folder / "config.json").is_file()


def load_folder(folder: Path) -> Model:
    """The model in a diffusers folder.

    Args:
        folder: A saved pipeline, or a saved net with a scheduler's configuration.

    Returns:
        The model, in single precision and evaluation mode; its card keeps the folder, the
        pipeline's index and the scheduler's configuration.

    Raises:
        ModelError: If it is of a kind that is not supported, with the reason.
        WeightsError: If tensors are missing, damaged or pickled.
        MissingExtra: If diffusers is not installed.
    """
    index = _json(folder / "model_index.json") if (folder / "model_index.json").is_file() else {}
    components = {
        name: value
        for name, value in index.items()
        if not name.startswith("_") and value not in (None, [None, None])
    }
    _refuse(components, folder)
    place = _component(folder, components, _NETS) or folder
    net = load_net(place)
    scheduler = _scheduler(folder, place)
    told = facts(scheduler, f"{folder}: scheduler")
    model = _model(net, told, place, components.get("id2label"))
    decoder = _component(folder, components, _DECODERS)
    codec = _latent(decoder) if decoder else _codec(model.shape)
    card = {
        "folder": str(folder),
        "pipeline": index,
        "scheduler": scheduler,
        "reference": {"speed": dict(SPEED_REFERENCE)},
    }
    model = model.replace(name=folder.resolve().name, codec=codec, card=card)
    check(model)
    return model


def build_net(folder: Path) -> nn.Module:
    """The net that ``folder/config.json`` describes, with random weights.

    Raises:
        ModelError: If the installed diffusers has no such net, or refuses the configuration.
    """
    config = _json(folder / "config.json")
    kind = _net_class(config, folder)
    try:
        net: nn.Module = kind.from_config(config)
    except (TypeError, ValueError, NotImplementedError) as cause:
        raise ModelError(f"the net cannot be made: {cause}", where=str(folder)) from cause
    return net


def load_net(folder: Path) -> nn.Module:
    """The net saved in a folder, in single precision and evaluation mode.

    Raises:
        ModelError: As `build_net`.
        WeightsError: If tensors are missing, damaged, pickled, left over or of another shape.
    """
    kind = _net_class(_json(folder / "config.json"), folder)
    _check_files(folder)
    try:
        net, info = kind.from_pretrained(
            folder,
            use_safetensors=True,
            low_cpu_mem_usage=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, RuntimeError, ValueError, TypeError) as cause:
        lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
        mismatches = [line for line in lines if "size mismatch" in line] or lines
        raise WeightsError("; ".join(mismatches[:5]), where=str(folder)) from cause
    wrong = {what: names for what, names in info.items() if names}
    if wrong:
        listed = "; ".join(f"{what}: {', '.join(map(str, names))}" for what, names in wrong.items())
        raise WeightsError(
            listed, where=str(folder), hint="save the net again with save_pretrained"
        )
    made: nn.Module = net
    return made.float().eval()


def save_config(net: nn.Module, folder: Path) -> None:
    """Write the ``config.json`` from which `build_net` makes such a net again.

    Raises:
        ModelError: If the net is not diffusers' own.
    """
    if not is_net(net):
        raise ModelError(f"{type(net).__name__} is not a net of diffusers", where=str(folder))
    net.save_config(folder)  # type: ignore[operator]


def is_net(net: nn.Module) -> bool:
    """Whether a net is one of diffusers' own, so that diffusers can save it."""
    return "diffusers" in sys.modules and isinstance(net, library().ModelMixin)


def _net_class(config: Mapping[str, Any], folder: Path) -> Any:
    diffusers, name = library(), str(config.get("_class_name", ""))
    kind = getattr(diffusers, name, None) if name else None
    if not (inspect.isclass(kind) and issubclass(kind, diffusers.ModelMixin)):
        raise ModelError(
            f"diffusers {diffusers.__version__} has no net called {name!r}",
            where=str(folder / "config.json"),
            hint="update diffusers, or build the model by hand: file.py:function",
        )
    return kind


def _check_files(folder: Path) -> None:
    """Refuse pickles, and damaged files by name, before diffusers sees them."""
    parts = sorted(folder.glob("diffusion_pytorch_model*.safetensors"))
    if not parts:
        pickled = sorted(folder.glob("*.bin"))
        raise WeightsError(
            f"only pickled weights here ({pickled[0].name}); they could run code when opened"
            if pickled
            else "there are no weights (diffusion_pytorch_model.safetensors)",
            where=str(folder),
            hint="save the net with save_pretrained(..., safe_serialization=True)",
        )
    for part in parts:
        check_file(part)


def _model(net: nn.Module, told: Facts, place: Path, labels: Any) -> Model:
    """A Model from the net's configuration and its scheduler's facts; no codec yet."""
    config: Mapping[str, Any] = net.config  # type: ignore[assignment]
    where = str(place / "config.json")
    embedding = config.get("time_embedding_type", "positional")
    if embedding != "positional":
        raise ModelError(
            f"time_embedding_type {embedding!r} is not supported",
            where=where,
            hint="such nets scale their own output or want integers; wrap it in file.py:function",
        )
    parameters = inspect.signature(net.forward).parameters
    if "encoder_hidden_states" in parameters:
        raise _text_later(where)
    classes = _classes(net, config, labels, where)
    channels = config.get("in_channels", 0)
    out = config.get("out_channels") or channels
    if channels < 1 or out not in (channels, 2 * channels):
        raise ModelError(
            f"{out} channels come out for {channels} going in",
            where=where,
            hint="as many, or twice as many where the variance is learned, are understood",
        )
    call = Call(
        cond="class_labels" if classes else None,
        extra={"return_dict": False} if "return_dict" in parameters else {},
        channels=channels if out == 2 * channels else None,
    )
    shape = _shape(net, config, channels, where)
    return Model(
        net=net,
        process=told.process,
        prediction=told.prediction,
        shape=shape,
        call=call,
        clip=told.clip,
        classes=classes,
        kind="image" if len(shape) == 3 else "toy",
    )


def _classes(net: nn.Module, config: Mapping[str, Any], labels: Any, where: str) -> Classes | None:
    if config.get("class_embed_type") is not None:
        raise ModelError(
            f"class_embed_type {config['class_embed_type']!r} is not supported",
            where=where,
            hint="wrap the net in file.py:function and state its condition there",
        )
    count = config.get("num_class_embeds") or config.get("num_embeds_ada_norm")
    if not count:
        return None
    # trained with dropped labels, a net has one embedding more than it has classes: the null class
    null = any(
        isinstance(module, nn.Embedding) and module.num_embeddings == count + 1
        for module in net.modules()
    )
    names = labels if isinstance(labels, Mapping) else {}
    complete = tuple(str(names.get(str(index), "")) for index in range(count))
    return Classes(count, count if null else None, complete if all(complete) else ())


def _shape(net: nn.Module, config: Mapping[str, Any], channels: int, where: str) -> tuple[int, ...]:
    size = config.get("sample_size")
    if size is None:
        raise ModelError(
            "the net does not say for which size it was trained",
            where=where,
            hint="add sample_size to its config.json",
        )
    if isinstance(size, (list, tuple)):
        return (channels, *map(int, size))
    # kernels have two axes more than the data has in space
    axes = max(parameter.ndim for parameter in net.parameters()) - 2
    return (channels, *[int(size)] * max(axes, 1))


def _codec(shape: tuple[int, ...]) -> Codec:
    return Pixels() if len(shape) == 3 and shape[0] in (1, 3) else Identity()


def _latent(folder: Path) -> Latent:
    decoder = load_net(folder)
    config: Mapping[str, Any] = decoder.config  # type: ignore[assignment]
    if config.get("latents_mean") is not None or not config.get("scaling_factor"):
        raise ModelError(
            "an autoencoder without one scaling factor for all latents is not supported",
            where=str(folder),
            hint="wrap net and decoder in file.py:function with a Codec of your own",
        )
    return Latent(decoder, float(config["scaling_factor"]), float(config.get("shift_factor") or 0))


def _scheduler(folder: Path, place: Path) -> dict[str, Any]:
    """The scheduler's configuration, with diffusers' defaults for keys that older files lack."""
    places = (folder / "scheduler", folder, place, place.parent / "scheduler")
    found = next((p for p in places if (p / "scheduler_config.json").is_file()), None)
    if found is None:
        raise ModelError(
            "nothing here says how the net was noised in training",
            where=str(folder),
            hint="put the scheduler_config.json it was trained with beside its config.json",
        )
    config = _json(found / "scheduler_config.json")
    kind = getattr(library(), str(config.get("_class_name", "")), None)
    if not inspect.isclass(kind):
        return config
    arguments = inspect.signature(kind).parameters.values()
    defaults = {a.name: a.default for a in arguments if a.default is not a.empty}
    return {**defaults, **config}


def _component(folder: Path, components: Mapping[str, Any], names: tuple[str, ...]) -> Path | None:
    """Where a component lies: in a folder of its name, or at the root as in early pipelines."""
    name = next((name for name in names if name in components), None)
    if name is None:
        return None
    return folder / name if (folder / name).is_dir() else folder


def _refuse(components: Mapping[str, Any], folder: Path) -> None:
    if any(name.startswith(_TEXT) for name in components):
        raise _text_later(str(folder / "model_index.json"))
    if unknown := sorted(set(components) - {*_NETS, *_DECODERS, *_IDLE}):
        raise ModelError(
            f"pipelines with {', '.join(unknown)} are not supported",
            where=str(folder / "model_index.json"),
            hint="build it by hand: file.py:function, with a Codec for what surrounds the net",
        )
    if components and not set(components) & set(_NETS):
        raise ModelError("this pipeline has neither unet nor transformer", where=str(folder))


def _text_later(where: str) -> ModelError:
    return ModelError(
        "models driven by text come later; class labels and none at all are what is understood",
        where=where,
        hint="wrap it in file.py:function, with a Codec that encodes the prompt",
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as cause:
        raise ModelError(f"this configuration cannot be read: {cause}", where=str(path)) from cause
    if not isinstance(table, dict):
        raise ModelError("this configuration is not a table", where=str(path))
    return table
