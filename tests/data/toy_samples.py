"""Random samples of every kind of label, with invalid pixels, for tests of what moves them."""

import torch
import torch.nn.functional as F
from hypothesis import strategies as st

from mtlrepro.data.disk.encodings import boundaries
from mtlrepro.data.sample import DatasetInfo
from mtlrepro.tasks import make_tasks

INFO = DatasetInfo("toy", ("semseg", "depth", "normals", "edges"), class_names=("a", "b", "c"))
TOY = make_tasks(INFO.tasks, INFO)

sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))


def sample(h, w, seed=0):
    g = torch.Generator().manual_seed(seed)
    normals = F.normalize(torch.randn(3, h, w, generator=g), dim=0)
    normals[:, torch.rand(h, w, generator=g) < 0.2] = 0
    depth = torch.rand(h, w, generator=g) * 9 + 0.5
    depth[torch.rand(h, w, generator=g) < 0.2] = 0
    ids = torch.tensor([0, 1, 2, 255], dtype=torch.uint8)
    semseg = ids[torch.randint(0, 4, (h, w), generator=g)]
    return {
        "image": torch.randint(0, 256, (3, h, w), generator=g).to(torch.uint8),
        "semseg": semseg,
        "depth": depth,
        "normals": normals,
        "edges": boundaries(semseg),
    }


samples = st.builds(lambda size, seed: sample(*size, seed), sizes, st.integers(0, 99))


def same(a, b):
    return set(a) == set(b) and all(torch.equal(a[k], b[k]) and a[k].dtype == b[k].dtype for k in a)


def unit_or_zero(vectors):
    length = vectors.norm(dim=0)
    return bool((((length - 1).abs() < 1e-4) | (length == 0)).all())
