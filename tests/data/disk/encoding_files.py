"""Small files in the formats that descriptions allow, and how they are read or refused."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mtlrepro.data.disk.description import Description, Labels
from mtlrepro.data.disk.encodings import read_image, read_label
from mtlrepro.errors import DataError

H, W = 6, 8
RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (H, W, 3), dtype=np.uint8)
IDS = RANDOM.integers(0, 3, (H, W), dtype=np.uint8)


def about(tmp_path, **labels):
    return Description(tmp_path / "toy.toml", "toy", ".", "{id}.png", {}, {}, labels, ("sky", "road", "car"))


def read(file, task, **storage):
    labels = Labels(path="{id}", **({"ignore": (255,)} | storage if task == "semseg" else storage))
    return read_label(task, file, labels, about(file.parent))


def saved(tmp_path, array, name="0.png", **options):
    file = tmp_path / name
    if name.endswith(".npy"):
        np.save(file, array)
    else:
        (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(file, **options)
    return file


def refused(file, task, **storage):
    with pytest.raises(DataError) as caught:
        read(file, task, **storage) if task != "image" else read_image(file)
    assert str(file) in str(caught.value)
    assert caught.value.mend
    assert "\n" not in str(caught.value)
    return caught.value


def png16(array):
    """The bytes of a PNG of 16 bits a channel, (H, W) or (H, W, channels), which Pillow cannot write."""
    h, w, n = (*array.shape, 1)[:3]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    head = struct.pack(">IIBBBBB", w, h, 16, {1: 0, 2: 4, 3: 2, 4: 6}[n], 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    sealed = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(sealed)


def saved16(tmp_path, array):
    file = tmp_path / "0.png"
    file.write_bytes(png16(np.asarray(array)))
    return file
