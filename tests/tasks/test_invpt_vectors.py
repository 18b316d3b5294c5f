"""Losses, totals and metrics of InvPT's and ATRC's public implementations; what saliency and parts have of their own
is in test_saliency.py and test_parts.py."""

import pytest
import torch
from invpt_maps import invpt_maps
from torch import nn

from mtlrepro.data.sample import Batch, DatasetInfo
from mtlrepro.metrics.segmentation import ClassIoU, MeanIoU
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives import build_objective
from mtlrepro.spec import ObjectiveSpec, options
from mtlrepro.tasks import make_tasks

MAPS = invpt_maps()
INFO = DatasetInfo("toy", tuple(MAPS), class_names=tuple("abcde"))
LOSSES = options(normals="l1_sum", saliency="two_classes")
TASKS = make_tasks(MAPS, INFO, LOSSES)
WEIGHTS = {"parts": 2.0, "saliency": 5.0, "normals": 10.0, "edges": 50.0}

FINAL = {
    "semseg": 1.8739440,
    "parts": 2.4525785,
    "saliency": 0.4580972,
    "normals": 2.0746522,
    "depth": 1.7211245,
    "edges": 0.1529266,
}
HALVED = {
    "semseg": 1.655603,
    "parts": 2.108317,
    "saliency": 0.370577,
    "normals": 2.074652,
    "depth": 2.146504,
    "edges": 0.146527,
}
"""Of half the raw predictions."""


@pytest.mark.parametrize("name", MAPS)
def test_losses(name):
    prediction, target = MAPS[name]
    assert TASKS[name].loss(prediction, target).item() == pytest.approx(FINAL[name], rel=5e-7)
    assert TASKS[name].loss(0.5 * prediction, target).item() == pytest.approx(HALVED[name], abs=6e-7)


def test_the_edge_loss_of_atrc():
    prediction, target = MAPS["edges"]
    task = TASKS["edges"].using("weighted_cross_entropy_80")
    assert task.loss(prediction, target).item() == pytest.approx(0.2285756, rel=5e-7)
    assert (task.channels, task.decode(prediction).equal(prediction.sigmoid())) == (1, True)


def test_edges_balanced_by_their_share_of_the_batch_as_saliency_is():
    task = make_tasks(["saliency"], INFO)["saliency"]
    assert task.loss(*MAPS["edges"]).item() == pytest.approx(0.2207067, rel=5e-7)


def test_normals_are_three_times_the_mean_over_components():
    mean = TASKS["normals"].using("l1")
    assert 3 * mean.loss(*MAPS["normals"]).item() == pytest.approx(FINAL["normals"], rel=5e-7)
    samples = TASKS["normals"].sample_losses(*MAPS["normals"])
    torch.testing.assert_close(samples, 3 * mean.sample_losses(*MAPS["normals"]))


class Fixed(nn.Module):
    """Predicts what it is given, whatever the image."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, image):
        return self.outputs


@pytest.mark.parametrize(
    ("names", "total"),
    [
        (("semseg", "depth", "normals", "edges"), 63.862869),
        (("semseg", "parts", "saliency", "normals", "edges"), 73.260406),
    ],
)
def test_totals_with_preliminary_predictions(names, total):
    """NYUD-v2 and PASCAL-Context; preliminary predictions weigh as much as final ones."""
    tasks = make_tasks(names, INFO, [pair for pair in LOSSES if pair[0] in names])
    weights = tuple((name, WEIGHTS[name]) for name in names if name in WEIGHTS)
    spec = ObjectiveSpec("supervised", weights=weights, losses=tuple(p for p in LOSSES if p[0] in names))
    final = {name: MAPS[name][0] for name in names}
    outputs = Outputs(final, {"initial": {name: 0.5 * raw for name, raw in final.items()}})
    batch = Batch(torch.zeros(2, 3, 8, 10), {name: MAPS[name][1] for name in names})
    losses = build_objective(spec, tasks)(Fixed(outputs), batch, 0.0)
    assert losses.total.item() == pytest.approx(total, rel=2e-7)
    want = {f"final/{n}": FINAL[n] for n in names} | {f"initial/{n}": HALVED[n] for n in names}
    assert {name: term.item() for name, term in losses.terms.items()} == pytest.approx(want, abs=6e-7)


def figures(name):
    prediction, target = MAPS[name]
    found = {}
    for metric in TASKS[name].metrics():
        if not metric.costly:
            metric.update(TASKS[name].decode(prediction), target)
            found[metric.protocol] = metric.compute()
    return found


def test_figures_of_40_classes_of_which_5_are_there():
    prediction, target = MAPS["semseg"]
    mean, each = MeanIoU(40), ClassIoU(tuple(str(c) for c in range(40)))
    for metric in (mean, each):
        metric.update(TASKS["semseg"].decode(prediction), target)
    assert mean.compute()["miou"] == pytest.approx(0.0167783, abs=5e-8)
    five = list(each.compute().values())[:5]
    assert five == pytest.approx([0.176471, 0.133333, 0.133333, 0.130435, 0.097561], abs=5e-7)
    assert figures("semseg")["miou/dataset@1"]["miou"] == pytest.approx(8 * 0.0167783, abs=4e-7)


def test_figures_of_depth():
    found = figures("depth")["depth/pooled@1"]
    want = {"rmse": 2.000609, "log_rmse": 3.329486, "rel": 0.708794, "sq_rel": 1.499577}
    assert {name: found[name] for name in want} == pytest.approx(want, abs=5e-7)


def test_figures_of_normals():
    assert figures("normals")["normals/pooled@1"]["mean"] == pytest.approx(92.906762, rel=1e-7)


def test_what_the_reference_logs_of_edges():
    """Its meter applies a loss to probabilities, which are no logits; no table prints it."""
    prediction, target = MAPS["edges"]
    assert TASKS["edges"].loss(prediction.sigmoid(), target).item() == pytest.approx(0.1209289, rel=5e-7)
