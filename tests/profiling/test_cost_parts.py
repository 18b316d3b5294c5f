"""Where the parameters and multiply-accumulates of MTI-Net and PAD-Net are, against published measurements.

Figures are parameters and 10^9 multiply-accumulates with normalisation and resizing, as fvcore counts them.
"""

from collections import Counter

import pytest
import torch
from decoder_cost import Counted, backbone_cost, counted

from mtlrepro.models import build_decoder
from mtlrepro.spec import ModelSpec

NYUD = {"semseg": 40, "normals": 3, "edges": 1, "depth": 1}
PASCAL = {"semseg": 21, "parts": 7, "saliency": 1, "normals": 3, "edges": 1}
SD, SNED, FULL = ("semseg", "depth"), tuple(NYUD), tuple(PASCAL)


class Meter:
    """Calls modules and keeps what they cost, by name."""

    def __init__(self):
        self.costs = {}

    def __call__(self, name, module, *inputs):
        cost, result = counted(module, *inputs)
        self.costs[name] = self.costs.get(name, Counted(0, 0, 0)) + cost
        return result

    def figures(self):
        """Name -> parameters, 10^9 multiply-accumulates."""
        return {name: (cost.params, (cost.macs + cost.extras) / 1e9) for name, cost in self.costs.items()}


def decoder(arch, backbone, main, aux, channels, size):
    """A network on the meta device, and the maps that it reads."""
    _, encoder, maps = backbone_cost(backbone, size)
    with torch.device("meta"):
        return build_decoder(ModelSpec(arch, backbone, main, aux), channels, encoder).eval(), maps


def of_mti_net(*args):
    model, maps = decoder("mti_net", *args)
    meter, features, coarser = Meter(), {}, None
    with torch.device("meta"):
        for s in "3210":
            # The front-end with its predictions, and its predictions alone.
            features[s], _ = meter(f"initial.{s}", model.initial[s], maps[int(s)], coarser)
            for task, predict in model.initial[s].predictions.items():
                meter(f"predictions.{s}", predict, features[s][task])
            if s != "0":
                coarser = meter(f"fpm.{s}", model.fpm[s], features[s])
        distilled = {s: meter(f"distillation.{s}", model.distillation[s], features[s]) for s in "0123"}
        for task, head in model.heads.items():
            meter("heads", head, [distilled[s][task] for s in "0123"])
    return meter.figures()


FPM = {
    SD: {"1": (61_420, 0.293), "2": (244_592, 0.292), "3": (976_770, 0.291)},
    SNED: {"1": (156_968, 0.749), "2": (626_128, 0.748), "3": (2_502_180, 0.747)},
}
INITIAL = {
    SD: {"0": (38_075, 0.722), "1": (149_981, 0.715), "2": (595_409, 0.712), "3": (1_501_241, 0.449)},
    SNED: {"0": (75_447, 1.443), "1": (298_593, 1.431), "2": (1_188_117, 1.425), "3": (2_997_117, 0.897)},
}
DISTILLATION = {"0": 11_664, "1": 46_656, "2": 186_624, "3": 746_496}


@pytest.mark.parametrize("aux", [SD, SNED], ids=len)
def test_parts_of_mti_net(aux):
    found = of_mti_net("hrnet18", SD, aux, NYUD, (480, 640))
    more = 1 if aux == SD else 3
    near = {"abs": 0.00051}  # the printed digit
    for s, (params, gmacs) in FPM[aux].items():
        assert found[f"fpm.{s}"] == (params, pytest.approx(gmacs, **near))
    for s, (params, gmacs) in INITIAL[aux].items():
        # Parameters with those of the predictions, multiply-accumulates without.
        assert found[f"initial.{s}"][0] == params
        assert found[f"initial.{s}"][1] - found[f"predictions.{s}"][1] == pytest.approx(gmacs, **near)
    for s, params in DISTILLATION.items():
        assert found[f"distillation.{s}"] == (more * params, pytest.approx(more * 0.224, abs=more * 0.00051))
    assert found["heads"] == (158_531, pytest.approx(3.071, **near))


def test_parts_of_mti_net_on_a_pyramid():
    totals = Counter()
    gmacs = Counter()
    for name, (params, macs) in of_mti_net("resnet50_fpn", FULL, FULL, PASCAL, (512, 512)).items():
        totals[name.split(".")[0]] += params
        gmacs[name.split(".")[0]] += macs
    assert totals["initial"] - totals["predictions"] == 20_254_240
    assert totals["predictions"] == 17_556
    assert (totals["fpm"], totals["distillation"], totals["heads"]) == (12_806_921, 28_477_440, 5_266_337)
    found = [gmacs["initial"] - gmacs["predictions"], gmacs["fpm"], gmacs["distillation"], gmacs["heads"]]
    assert found == pytest.approx([53.9, 14.8, 55.5, 16.8], rel=0.01)


@pytest.mark.parametrize(
    ("aux", "initial", "distillation"),
    [
        (SD, (433_193, 8.317), (2_359_296, 45.298)),
        (SNED, (856_877, 16.451), (7_077_888, 135.895)),
    ],
    ids=["2", "4"],
)
def test_parts_of_padnet(aux, initial, distillation):
    model, maps = decoder("padnet", "hrnet18", SD, aux, NYUD, (480, 640))
    encoder, meter, features = backbone_cost("hrnet18", (480, 640))[0], Meter(), {}
    with torch.device("meta"):
        fused = meter("fuse", model.fuse, maps)
        for task in aux:
            features[task] = meter("initial", model.initial_features[task], fused)
            meter("initial", model.initial_predictions[task], features[task])
        for task, distilled in meter("distillation", model.distillation, features).items():
            meter("heads", model.heads[task], distilled)
    meter.costs["fuse"] += encoder
    wanted = {"fuse": (3_934_430, 11.303), "initial": initial, "distillation": distillation, "heads": (292_137, 5.608)}
    for name, figures in meter.figures().items():
        assert figures == (wanted[name][0], pytest.approx(wanted[name][1], abs=0.00051)), name
