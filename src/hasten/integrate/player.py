"""Samples from the model in this folder; hasten itself is not needed.

    python sample.py -n 16 --seed 0 -o samples.npz
    python sample.py -n 16 --classes 0,1,2 --guidance 1.5

It wants numpy and torch (a net or decoder of diffusers: diffusers too). The same seeds give the
same samples as in hasten. From Python: ``Player(folder).sample(range(16))``.

``sampler.json`` holds the programme of sampling: for every evaluation of the net the registers that
make its input (0 is the starting point, then the inputs, then the outputs, then the noises, each
with a weight), and the numbers that turn the net's output into x0.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

KINDS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class Player:
    """The model in a folder and its programme.

    Args:
        folder: What hasten exported.
        device: Where to sample.
    """

    def __init__(self, folder: str | Path, device: str = "cpu") -> None:
        self.folder, self.device = Path(folder), device
        self.facts = json.loads((self.folder / "sampler.json").read_text("utf-8"))
        self.dtype: torch.dtype = getattr(torch, self.facts["dtype"])
        self.net = self._net().to(device)
        self.decoder = self._decoder()
        self.noise = part(self.folder, "noise")

    @torch.inference_mode()
    def sample(
        self, seeds: Sequence[int], labels: Tensor | None = None, guidance: float | None = None
    ) -> Tensor:
        """Decoded samples, one a seed.

        Args:
            seeds: Whole numbers, one a sample.
            labels: Conditions [n] as the net was trained with, if it was.
            guidance: Weight of classifier-free guidance; None takes the exported one.
        """
        facts, seeds = self.facts, list(seeds)
        weight = facts["guidance"] if guidance is None else guidance
        wide = torch.float64 if self.dtype == torch.float64 else torch.float32
        labels = None if labels is None else labels.to(self.device)
        path = None
        if facts["noises"]:
            path = self.noise.Brownian(seeds, facts["shape"], facts["depth"])
        count = len(facts["rows"])
        held: dict[int, Tensor] = {}

        def value(register: int) -> Tensor:
            index = register - 1 - 2 * count
            if register not in held and index >= 0 and path is not None:
                held[register] = path.increment(*facts["noises"][index]).to(self.device, wide)
            return held[register]

        def combine(terms: Sequence[tuple[int, float]]) -> Tensor:
            total = torch.zeros((len(seeds), *facts["shape"]), dtype=wide, device=self.device)
            for register, factor in terms:
                total.add_(value(register), alpha=factor)
            return total

        noise = self.noise.start_noise(seeds, facts["shape"]).to(self.device, wide)
        held[0] = noise * facts["start"]
        for index, row in enumerate(facts["rows"]):
            x = combine(row["input"])
            own = weight if row["guidance"] is None else row["guidance"]
            held[1 + index], held[1 + count + index] = x, self.denoise(x, row, labels, own)
            for register in row["drop"]:
                held.pop(register, None)
        return self.decode(combine(facts["result"]))

    def denoise(
        self, x: Tensor, row: dict[str, Any], labels: Tensor | None, weight: float
    ) -> Tensor:
        """x0 [B, ...] from noisy data [B, ...], guided if the weight is not 1."""
        if weight == 1:
            return self._ask(x, row, labels)
        null = self.facts["null"]
        if labels is None or null is None:
            raise SystemExit("guidance needs class labels and a net with a null class")
        both = torch.cat([labels, torch.full_like(labels, null)])
        guided, free = self._ask(torch.cat([x, x]), row, both).chunk(2)
        return free + weight * (guided - free)

    def _ask(self, x: Tensor, row: dict[str, Any], labels: Tensor | None) -> Tensor:
        call, clip = self.facts["call"], self.facts["clip"]
        time = torch.full((len(x),), row["time"], dtype=x.dtype, device=x.device)
        second = () if call["time"] else (time,)
        given = ((call["cond"], labels), (call["time"], time))
        named = {name: value for name, value in given if name}
        out = self.net((row["scale"] * x).to(self.dtype), *second, **named, **call["extra"])
        raw = (out[0] if isinstance(out, (tuple, list)) else out)[:, : call["channels"]]
        x0: Tensor = row["skip"] * x + row["out"] * raw.to(x.dtype)
        return x0 if clip is None else x0.clamp(-clip, clip)

    def decode(self, x0: Tensor) -> Tensor:
        """What people look at: images in [0, 1], or x0 as it is."""
        codec = self.facts["codec"]
        if self.decoder is not None:
            kind = next(self.decoder.parameters()).dtype
            latents = (x0 / codec["scale"] + codec["shift"]).to(kind)
            x0 = self.decoder.decode(latents, return_dict=False)[0].to(x0.dtype)  # type: ignore[operator]
        return x0 if codec["name"] == "identity" else x0.add(1).div(2).clamp(0, 1)

    def _net(self) -> nn.Module:
        facts = self.facts["net"]
        if facts["form"] == "diffusers":
            return from_diffusers(self.folder / facts["folder"], self.dtype)
        if facts["form"] == "program":
            program = torch.export.load(self.folder / "net.pt2")
            if self.device != "cpu":
                from torch.export.passes import move_to_device_pass

                program = move_to_device_pass(program, self.device)
            net: nn.Module = program.module()
            return net
        made: nn.Module = getattr(part(self.folder, facts["module"]), facts["name"])(
            **facts["config"]
        )
        made.load_state_dict(read_tensors(self.folder / "weights.safetensors"))
        return made.to(self.dtype).eval()

    def _decoder(self) -> nn.Module | None:
        place = self.facts["codec"].get("folder")
        return None if place is None else from_diffusers(self.folder / place).to(self.device)


def part(folder: Path, name: str) -> ModuleType:
    """A module of the folder's own ``parts``, under a name no other folder has."""
    package = f"parts_of_{abs(hash(folder.resolve()))}"
    if package not in sys.modules:
        spec = importlib.util.spec_from_file_location(package, folder / "parts" / "__init__.py")
        if spec is None or spec.loader is None:
            raise SystemExit(f"{folder / 'parts'} is missing; copy the folder as a whole")
        module = importlib.util.module_from_spec(spec)
        sys.modules[package] = module
        spec.loader.exec_module(module)
    return importlib.import_module(f"{package}.{name}")


def from_diffusers(folder: Path, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A net saved by diffusers."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    kind = getattr(importlib.import_module("diffusers"), config["_class_name"])
    net: nn.Module = kind.from_pretrained(
        folder, torch_dtype=dtype, use_safetensors=True, low_cpu_mem_usage=False
    )
    return net.eval()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """A safetensors file: the length of a JSON table, the table, the numbers."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    table = json.loads(content[8:start])
    tensors = {}
    for name, entry in table.items():
        if name == "__metadata__":
            continue
        first, last = (start + offset for offset in entry["data_offsets"])
        kind = KINDS[entry["dtype"]]
        if first == last:
            tensors[name] = torch.empty(entry["shape"], dtype=kind)
        else:
            flat = torch.frombuffer(bytearray(content[first:last]), dtype=kind)
            tensors[name] = flat.reshape(entry["shape"])
    return tensors


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Sample from the model in this folder.")
    parser.add_argument("-n", type=int, default=16, help="how many samples")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first; then one more each")
    parser.add_argument("--classes", default="", help="labels, such as 0,1,2; repeated to n")
    parser.add_argument("--guidance", type=float, help="weight of classifier-free guidance")
    parser.add_argument("--batch", type=int, default=16, help="how many at a time")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-o", "--out", default="samples.npz", help="where to write the array")
    told = parser.parse_args(arguments)
    player = Player(Path(__file__).resolve().parent, told.device)
    for note in player.facts["notes"]:
        sys.stderr.write(f"note: {note}\n")
    seeds = range(told.seed, told.seed + told.n)
    labels = None
    if player.facts["classes"] is not None:
        if not told.classes:
            parser.error(f"this net wants --classes, labels below {player.facts['classes']}")
        given = [int(label) for label in told.classes.split(",")]
        labels = torch.tensor([given[i % len(given)] for i in range(told.n)])
    parts = []
    for first in range(0, told.n, told.batch):
        chosen = slice(first, first + told.batch)
        some = None if labels is None else labels[chosen]
        parts.append(player.sample(seeds[chosen], some, told.guidance).cpu())
        sys.stderr.write(f"{min(first + told.batch, told.n)} of {told.n}\n")
    np.savez_compressed(told.out, samples=torch.cat(parts).numpy())


if __name__ == "__main__":
    main()
