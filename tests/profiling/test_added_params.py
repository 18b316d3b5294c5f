"""Parameters that exchange blocks add: the counter, sizes of the public implementation, the paper's table 3."""

import tomllib
from pathlib import Path

import pytest
import torch
from torch import nn

from mtlrepro.models import build_model
from mtlrepro.models.dense_mtl import DenseMTL
from mtlrepro.models.outputs import Outputs
from mtlrepro.profiling import cost
from mtlrepro.profiling.cost import fvcore_cost, model_cost
from mtlrepro.spec import ModelSpec, options

SD, SDN, SDNE = (("semseg", "depth", "normals", "edges")[:n] for n in (2, 3, 4))
CHANNELS = {"semseg": 14, "depth": 1, "normals": 3, "edges": 2}
TABLE_3 = Path(__file__).resolve().parents[2] / "expected" / "dense_mtl" / "table_3.toml"


def dense_mtl(tasks, stages, backbone="resnet_nano_os16"):
    return ModelSpec("dense_mtl", backbone, tasks, options=options(stages=stages))


def size_of(module):
    return sum(p.numel() for p in module.parameters())


def built(spec):
    with torch.device("meta"):
        return build_model(spec, CHANNELS)


@pytest.mark.parametrize("count", [model_cost, fvcore_cost])
def test_are_those_of_the_exchange_blocks(count):
    spec = ModelSpec("dense_mtl", "resnet_nano_os16", SD, options=options(widths=(4, 4, 4, 8, 8), stages=(3, 1)))
    model = built(spec)
    found = count(spec, CHANNELS, (32, 32))
    assert found.added_params == size_of(model.exchange) > 0
    assert found.params == found.added_params + size_of(model.backbone) + size_of(model.decoders)


@pytest.mark.parametrize(
    ("arch", "main", "values"),
    [
        ("dense_mtl", SD, {"stages": ()}),
        ("dense_mtl", SD[:1], {"stages": (3, 1)}),
        ("three_ways", SD, {}),
        ("deeplab", SD, {"width": 8}),
    ],
)
def test_are_none_without_blocks(arch, main, values):
    found = model_cost(ModelSpec(arch, "resnet_nano_os16", main, options=options(**values)), CHANNELS, (32, 32))
    assert found.params > 0
    assert found.added_params == 0


def test_are_those_of_a_child_of_the_network_itself(monkeypatch):
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.ModuleDict({"exchange": nn.Conv2d(3, 2, 1)})
            self.exchange = nn.Conv2d(3, 1, 1)

        def forward(self, image):
            return Outputs({"depth": self.exchange(image)})

    monkeypatch.setattr(cost, "build_model", lambda *_: Network())
    found = model_cost(ModelSpec("network", "none", ("depth",)), {}, (32, 32))
    assert (found.params, found.added_params) == (12, 4)


PLACES = {
    (): (0, 0, 0),
    (4,): (3_086_336, 9_257_472, 18_513_920),
    (3,): (3_086_336, 9_257_472, 18_513_920),
    (2,): (773_120, 2_318_592, 4_636_672),
    (1,): (773_120, 2_318_592, 4_636_672),
    (3, 1): (3_859_456, 11_576_064, 23_150_592),
    (4, 2): (3_859_456, 11_576_064, 23_150_592),
    (3, 2, 1): (4_632_576, 13_894_656, 27_787_264),
    (4, 3, 2, 1): (7_718_912, 23_152_128, 46_301_184),
    (2, 1): (1_546_240, 4_637_184, 9_273_344),
    (4, 3): (6_172_672, 18_514_944, 37_027_840),
}


@pytest.mark.parametrize("stages", PLACES, ids=str)
def test_measured_block_sizes(stages):
    assert tuple(size_of(built(dense_mtl(tasks, stages)).exchange) for tasks in (SD, SDN, SDNE)) == PLACES[stages]


@pytest.mark.parametrize(
    ("stages", "totals"),
    [
        ((3,), (89_714_206, 117_947_748)),
        ((2,), (87_399_070, 111_006_564)),
        ((3, 1), (90_489_261, 120_268_662)),
        ((3, 2, 1), (91_264_316, 122_589_576)),
        ((4, 3, 2, 1), (94_354_507, 131_851_674)),
    ],
    ids=str,
)
def test_measured_totals_with_sides_at_the_blocks(stages, totals):
    assert tuple(size_of(built(dense_mtl(tasks, stages, "resnet101_os16"))) for tasks in (SD, SDN)) == totals


PRINTED = {row["name"]: row["cells"] for row in tomllib.loads(TABLE_3.read_text())["rows"]}
SWAPPED = {"4": "9.26", "3": "9.26", "2": "2.32", "1": "2.32"}
"""What the S-D-N rows of a single block must read.

The paper prints the sizes of coarse stages (256 channels) beside fine ones (128 channels) and the reverse. With S-D,
and wherever there are several blocks, it agrees.
"""


@pytest.mark.parametrize("row", PRINTED)
def test_column_of_added_parameters_in_table_3(row, monkeypatch):
    monkeypatch.setattr(DenseMTL, "forward", lambda model, image: model.backbone(image))  # saves time
    stages = () if row == "none" else tuple(map(int, row.split(", ")))
    counts = [model_cost(dense_mtl(tasks, stages), CHANNELS, (32, 32)) for tasks in (SD, SDN)]
    two, three = (f"{count.added_params / 1e6:.2f}" for count in counts)
    assert two == PRINTED[row]["sd_par"]
    assert three == SWAPPED.get(row, PRINTED[row]["sdn_par"])
    assert (three != PRINTED[row]["sdn_par"]) == (row in SWAPPED)


def test_rows_of_table_3():
    assert list(PRINTED) == ["none", "4", "3", "2", "1", "3, 1", "3, 2, 1", "4, 3, 2, 1"]
    assert sorted(SWAPPED.values()) == sorted(PRINTED[row]["sdn_par"] for row in SWAPPED)
