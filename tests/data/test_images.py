from __future__ import annotations

import gzip
import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hasten.data.images import Images, load_images, splits_of
from hasten.errors import DataError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 10, 9), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (12, 3, 8, 8), dtype=np.uint8)
LABELS = np.arange(12) % 4


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


def write_idx(folder: Path, stem: str, images: np.ndarray, labels: np.ndarray) -> None:
    (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (folder / f"{stem}-labels-idx1-ubyte").write_bytes(idx(labels))


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def same(images: Images, pixels: np.ndarray, labels: np.ndarray | None) -> bool:
    right = np.array_equal(images.pixels.numpy(), pixels)
    if labels is None:
        return right and images.labels is None
    return right and images.labels is not None and np.array_equal(images.labels.numpy(), labels)


class TestIdx:
    def test_splits(self, tmp_path: Path) -> None:
        write_idx(tmp_path, "train", GREY, LABELS)
        write_idx(tmp_path, "t10k", GREY[:5], LABELS[:5])
        assert splits_of(tmp_path) == ("train", "test")
        assert same(load_images(tmp_path, "train"), GREY[:, None], LABELS)
        test = load_images(tmp_path, "test")
        assert same(test, GREY[:5, None], LABELS[:5])
        assert test.split == "test"
        assert test.shape == (1, 10, 9)
        assert len(load_images(tmp_path)) == 17

    def test_one_file_brings_its_labels(self, tmp_path: Path) -> None:
        write_idx(tmp_path, "train", GREY, LABELS)
        assert same(load_images(tmp_path / "train-images-idx3-ubyte.gz"), GREY[:, None], LABELS)

    def test_file_and_its_gz_count_once(self, tmp_path: Path) -> None:
        write_idx(tmp_path, "train", GREY, LABELS)
        (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(GREY))
        assert len(load_images(tmp_path)) == 12

    @pytest.mark.parametrize("cut", [2, 9, 100])
    def test_truncated(self, tmp_path: Path, cut: int) -> None:
        (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(GREY)[:cut])
        with pytest.raises(DataError, match="train-images") as caught:
            load_images(tmp_path)
        assert "again" in caught.value.hint

    def test_truncated_gzip(self, tmp_path: Path) -> None:
        data = gzip.compress(idx(GREY))
        (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(data[: len(data) // 2])
        with pytest.raises(DataError, match="gzip stream is damaged"):
            load_images(tmp_path)

    def test_wrong_magic(self, tmp_path: Path) -> None:
        (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\x89PNG" + idx(GREY)[4:])
        with pytest.raises(DataError, match="begins with 89504e47"):
            load_images(tmp_path)

    def test_labels_of_another_set(self, tmp_path: Path) -> None:
        write_idx(tmp_path, "train", GREY, LABELS[:11])
        with pytest.raises(DataError, match="12 images but labels"):
            load_images(tmp_path)


class TestCifar:
    def test_binary(self, tmp_path: Path) -> None:
        pixels = RNG.integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)
        rows = np.concatenate([np.arange(6, dtype=np.uint8)[:, None], pixels.reshape(6, -1)], 1)
        (tmp_path / "data_batch_1.bin").write_bytes(rows[:3].tobytes())
        (tmp_path / "data_batch_2.bin").write_bytes(rows[3:5].tobytes())
        (tmp_path / "test_batch.bin").write_bytes(rows[5:].tobytes())
        assert same(load_images(tmp_path, "train"), pixels[:5], np.arange(5))
        assert same(load_images(tmp_path, "test"), pixels[5:], np.array([5]))

    def test_truncated(self, tmp_path: Path) -> None:
        (tmp_path / "test_batch.bin").write_bytes(bytes(3000))
        with pytest.raises(DataError, match="whole number of CIFAR-10 records"):
            load_images(tmp_path)

    def test_strips(self, tmp_path: Path) -> None:
        for stem, part in (("data_batch_1", slice(0, 8)), ("test_batch", slice(8, 12))):
            rows = COLOUR[part].transpose(0, 2, 3, 1).reshape(-1, 64, 3)
            save(tmp_path / f"{stem}.png", rows)
        (tmp_path / "train_lables.json").write_text(json.dumps(LABELS[:8].tolist()))
        (tmp_path / "test_lables.json").write_text(json.dumps(LABELS[8:].tolist()))
        (tmp_path / "package.json").write_text("{}")
        assert same(load_images(tmp_path, "train"), COLOUR[:8], LABELS[:8])
        assert same(load_images(tmp_path, "test"), COLOUR[8:], LABELS[8:])

    def test_strip_of_stated_shape(self, tmp_path: Path) -> None:
        save(tmp_path / "strip.png", GREY.reshape(12, 90))
        assert same(load_images(tmp_path, shape=(1, 10, 9)), GREY[:, None], None)


class TestNpz:
    @pytest.mark.parametrize(
        ("image", "label"),
        [("images", "labels"), ("X", "y"), ("arr_0", "arr_1"), ("data", "targets")],
    )
    def test_names(self, tmp_path: Path, image: str, label: str) -> None:
        np.savez(tmp_path / "a.npz", **{image: COLOUR, label: LABELS[:, None]})
        assert same(load_images(tmp_path / "a.npz"), COLOUR, LABELS)

    @pytest.mark.parametrize("spelling", ["{0}_{1}", "{1}_{0}"])
    def test_both_splits_in_one_archive(self, tmp_path: Path, spelling: str) -> None:
        arrays = {
            spelling.format("x", "train"): GREY[:8],
            spelling.format("y", "train"): LABELS[:8],
            spelling.format("x", "test"): GREY[8:],
            spelling.format("y", "test"): LABELS[8:],
        }
        np.savez(tmp_path / "mnist.npz", **arrays)
        assert same(load_images(tmp_path / "mnist.npz", "test"), GREY[8:, None], LABELS[8:])
        assert same(load_images(tmp_path, "train"), GREY[:8, None], LABELS[:8])

    def test_layouts_and_types(self, tmp_path: Path) -> None:
        last = COLOUR.transpose(0, 2, 3, 1)
        for stored in (last, last / np.float32(255), last.astype(np.float64), last.astype(int)):
            np.savez(tmp_path / "a.npz", images=stored)
            assert same(load_images(tmp_path / "a.npz"), COLOUR, None)

    @pytest.mark.parametrize("stored", [COLOUR / 127.5 - 1, COLOUR + 0.5, COLOUR.astype(int) * 2])
    def test_values_that_are_not_pixels(self, tmp_path: Path, stored: np.ndarray) -> None:
        np.savez(tmp_path / "a.npz", images=stored)
        with pytest.raises(DataError, match="neither bytes nor in"):
            load_images(tmp_path)

    def test_objects_are_not_unpickled(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", images=np.array([{}, []], dtype=object))
        with pytest.raises(DataError, match="cannot be read") as caught:
            load_images(tmp_path)
        assert "never loaded" in caught.value.hint

    def test_no_array_of_images(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", energies=LABELS)
        with pytest.raises(DataError, match="it holds energies"):
            load_images(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x93NUMPY"])
    def test_damaged(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.npz"):
            load_images(tmp_path)

    def test_truncated_in_the_middle(self, tmp_path: Path) -> None:
        np.savez_compressed(tmp_path / "a.npz", images=COLOUR)
        data = bytearray((tmp_path / "a.npz").read_bytes())
        data[200:260] = bytes(60)
        (tmp_path / "a.npz").write_bytes(bytes(data))
        with pytest.raises(DataError, match="cannot be read"):
            load_images(tmp_path)


class TestParquet:
    def test_encoded(self, tmp_path: Path) -> None:
        arrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        for column, wrap in (("image", lambda b: {"bytes": b, "path": None}), ("img", lambda b: b)):
            cells = []
            for picture in COLOUR:
                buffer = io.BytesIO()
                Image.fromarray(picture.transpose(1, 2, 0)).save(buffer, "PNG")
                cells.append(wrap(buffer.getvalue()))
            parquet.write_table(
                arrow.table({column: cells, "label": LABELS}), tmp_path / "test-0.parquet"
            )
            assert same(load_images(tmp_path, "test"), COLOUR, LABELS)
        assert load_images(tmp_path, shape=(1, 4, 4)).shape == (1, 4, 4)

    def test_damaged(self, tmp_path: Path) -> None:
        pytest.importorskip("pyarrow")
        (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing more")
        with pytest.raises(DataError, match="not a readable parquet file"):
            load_images(tmp_path)


class TestPictures:
    def test_classes_are_folders(self, tmp_path: Path) -> None:
        for split, count in (("train", 8), ("val", 4)):
            for i in range(count):
                save(tmp_path / split / f"class {LABELS[i]}" / f"{i}.png", GREY[i])
        train = load_images(tmp_path, "train")
        assert train.classes == ("class 0", "class 1", "class 2", "class 3")
        order = np.argsort(LABELS[:8], kind="stable")
        assert same(train, GREY[order, None], LABELS[order])
        assert len(load_images(tmp_path, "test")) == 4

    def test_numbered_classes_count_by_number(self, tmp_path: Path) -> None:
        for name in ("10", "9", "2"):
            save(tmp_path / name / "a.png", GREY[int(name)])
        images = load_images(tmp_path)
        assert images.classes == ("2", "9", "10")
        assert same(images, GREY[[2, 9, 10], None], np.arange(3))

    def test_flat_folder_has_no_labels_and_is_training_data(self, tmp_path: Path) -> None:
        for i, picture in enumerate(COLOUR):
            save(tmp_path / f"{i:02d}.png", picture.transpose(1, 2, 0))
        assert same(load_images(tmp_path, "train"), COLOUR, None)
        assert splits_of(tmp_path) == (None,)
        with pytest.raises(DataError, match="no test part"):
            load_images(tmp_path, "test")

    def test_mixed_sizes(self, tmp_path: Path) -> None:
        save(tmp_path / "a.png", np.full((20, 30), 7, np.uint8))
        save(tmp_path / "b.png", np.full((8, 8), 7, np.uint8))
        with pytest.raises(DataError, match="1x20x30, 1x8x8"):
            load_images(tmp_path)
        resized = load_images(tmp_path, shape=(3, 8, 8))
        assert torch.equal(resized.pixels, torch.full((2, 3, 8, 8), 7, dtype=torch.uint8))

    def test_middle_square_is_kept(self, tmp_path: Path) -> None:
        wide = np.zeros((10, 30), np.uint8)
        wide[:, 10:20] = 200
        save(tmp_path / "a.png", wide)
        assert load_images(tmp_path, shape=(1, 10, 10)).pixels.unique().tolist() == [200]

    def test_modes(self, tmp_path: Path) -> None:
        deep = GREY[0].astype(np.uint16) * 257
        Image.fromarray(deep).save(tmp_path / "a.png")
        assert same(load_images(tmp_path), GREY[:1, None], None)
        Image.fromarray(GREY[1]).convert("P").save(tmp_path / "a.png", transparency=0)
        assert load_images(tmp_path).shape == (3, 10, 9)

    def test_not_a_picture(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(b"no picture")
        with pytest.raises(DataError, match="not a readable picture"):
            load_images(tmp_path)


class TestRefusals:
    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no such file") as caught:
            load_images(tmp_path / "missing")
        assert "hasten data fetch" in caught.value.hint
        (tmp_path / "notes.txt").write_text("x")
        with pytest.raises(DataError, match="no images were found"):
            load_images(tmp_path)

    def test_unknown_split(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="unknown split 'tests'"):
            load_images(tmp_path, "tests")  # type: ignore[arg-type]

    def test_wrong_shape(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", images=COLOUR)
        with pytest.raises(DataError, match="images are 3x8x8, wanted 1x28x28"):
            load_images(tmp_path, shape=(1, 28, 28))

    def test_labels_for_some(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", images=COLOUR, labels=LABELS)
        np.savez(tmp_path / "b.npz", images=COLOUR)
        with pytest.raises(DataError, match=r"missing for some.*\n.*b\.npz"):
            load_images(tmp_path)

    def test_negative_and_fractional_labels(self, tmp_path: Path) -> None:
        for labels in (LABELS - 1, LABELS / 2):
            np.savez(tmp_path / "a.npz", images=COLOUR, labels=labels)
            with pytest.raises(DataError, match="whole numbers"):
                load_images(tmp_path)

    def test_images_check_themselves(self) -> None:
        with pytest.raises(DataError, match="uint8"):
            Images(torch.zeros(2, 1, 4, 4), None, "made up")
        with pytest.raises(DataError, match="2 images but 3 labels"):
            Images(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(3).long(), "made up")


def test_unit_and_take() -> None:
    images = Images(torch.from_numpy(COLOUR), torch.from_numpy(LABELS), "made up")
    assert torch.equal((images.unit(2, 5) * 255).round().byte(), images.pixels[2:5])
    chosen = images.take(torch.tensor([3, 1]))
    assert same(chosen, COLOUR[[3, 1]], LABELS[[3, 1]])
