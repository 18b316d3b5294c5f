from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from mtlrepro.data.sample import IMAGENET_MEAN, IMAGENET_STD, NORMALISE, DatasetInfo, Sample
from mtlrepro.engine.evaluate import (
    FORWARD,
    Gallery,
    Meters,
    evaluate,
    figures,
    merge,
    record_key,
    resize_prediction,
)
from mtlrepro.errors import DataError, SpecError, StoreError
from mtlrepro.metrics.depth import depth_sums
from mtlrepro.models import build_model
from mtlrepro.models.outputs import Outputs
from mtlrepro.spec import ModelSpec
from mtlrepro.tasks import make_tasks

CPU = torch.device("cpu")
SIZE = (32, 32)
FOUR = ("semseg", "depth", "normals", "edges")
INFO = DatasetInfo("fake", FOUR, ("a", "b", "c"))
TASKS = make_tasks(FOUR, INFO)
Pairs = list[tuple[Tensor, Sample]]


def pairs(count: int, native: tuple[int, int] = SIZE) -> Pairs:
    """Noise with labels; the first pixel of an image holds its position."""
    generator = torch.Generator().manual_seed(0)
    out = []
    for i in range(count):
        image = torch.randint(0, 256, (3, *SIZE), dtype=torch.uint8, generator=generator)
        image[0, 0, 0] = i
        normals = torch.randn(3, *native, generator=generator)
        depth = 1 + 9 * torch.rand(native, generator=generator)
        depth[:2] = 0
        semseg = torch.randint(0, 3, native, dtype=torch.uint8, generator=generator)
        semseg[-2:] = 255
        edges = (torch.rand(native, generator=generator) > 0.8).to(torch.uint8)
        out.append(
            (image, {"semseg": semseg, "depth": depth, "normals": normals / normals.norm(dim=0), "edges": edges})
        )
    return out


class Oracle(nn.Module):
    """Predicts the labels of the sample whose position stands in the first pixel."""

    def __init__(self, samples: Pairs):
        super().__init__()
        self.samples, self.batches = samples, []

    def forward(self, image: Tensor) -> Outputs:
        self.batches.append(len(image))
        which = (image[:, 0, 0, 0] * IMAGENET_STD[0] + IMAGENET_MEAN[0]).mul(255).round().long().tolist()
        labels = [self.samples[i][1] for i in which]
        semseg = torch.stack([s["semseg"].long() % 255 for s in labels])
        return Outputs(
            {
                "semseg": 50 * nn.functional.one_hot(semseg, 3).movedim(-1, 1).float(),
                "depth": torch.stack([s["depth"][None] for s in labels]),
                "normals": torch.stack([s["normals"] for s in labels]),
                "edges": torch.stack([40.0 * s["edges"][None] - 20 for s in labels]),
            }
        )


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """MTI-Net with running statistics that are not trivial."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    spec = ModelSpec("mti_net", "hrnet_nano", ("semseg", "depth"), FOUR)
    model = build_model(spec, {name: task.channels for name, task in TASKS.items()})
    with torch.no_grad():
        model.train()(torch.randn(4, 3, *SIZE))
    return model.eval()


def states(meters: Meters) -> dict[tuple[str, str, str, str], Tensor]:
    return {
        (view, task, metric.protocol, name): value
        for view, by_task in meters.items()
        for task, metrics in by_task.items()
        for metric in metrics
        for name, value in metric.state.items()
    }


def test_a_perfect_network_reaches_the_optimum() -> None:
    samples = pairs(11)
    got = figures(evaluate(Oracle(samples), TASKS, samples, device=CPU))
    better = {
        record_key("final", f"{name}.{figure}", metric.protocol): direction
        for name, task in TASKS.items()
        for metric in task.metrics()
        for figure, direction in metric.better.items()
    }
    assert got.keys() == better.keys()
    for name, value in got.items():
        if "odsf" in name or "normals/columns" in name:  # contours of the mask; a formula that knows no invalid pixels
            assert math.isfinite(value)
            continue
        optimum = 0.0 if better[name] == "lower" else 100.0 if "within" in name else 1.0  # percent of pixels
        # float32 cosines near 1 resolve a few hundredths of a degree
        assert value == pytest.approx(optimum, abs=0.05 if "normals" in name else 1e-6), name


@pytest.mark.parametrize("part", [1, 2, 7])
def test_figures_do_not_depend_on_how_a_split_is_divided(network: nn.Module, part: int) -> None:
    """Predictions and integer sums keep every bit; float64 sums differ by the rounding of their additions."""
    samples = pairs(15, native=(40, 24))
    whole = evaluate(network, TASKS, samples, device=CPU)
    parts: Meters = {}
    for i in range(0, len(samples), part):
        parts = merge(parts, evaluate(network, TASKS, samples[i : i + part], device=CPU))
    expected, got = states(whole), states(parts)
    assert expected.keys() == got.keys()
    integers = 0
    for key, value in expected.items():
        if value.is_floating_point():
            torch.testing.assert_close(got[key], value, rtol=1e-14, atol=0)
        else:
            integers += 1
            assert torch.equal(got[key], value), key
    assert integers >= 10
    flat = figures(parts)
    assert all(math.isclose(v, flat[k], rel_tol=1e-13) or math.isnan(v) for k, v in figures(whole).items())


def test_the_network_always_sees_full_groups() -> None:
    samples = pairs(2 * FORWARD + 3)
    oracle = Oracle(samples)
    evaluate(oracle, TASKS, samples, device=CPU)
    assert oracle.batches == [FORWARD] * 3


def test_copies_that_fill_a_group_are_not_counted() -> None:
    samples = pairs(3)
    depth = evaluate(Oracle(samples), TASKS, samples, device=CPU)["final"]["depth"][0]
    assert int(depth.state["pixels"]) == sum(int((s["depth"] > 0).sum()) for _, s in samples)


def test_stages_are_views_and_unwanted_tasks_are_left_out(network: nn.Module) -> None:
    samples = pairs(2)
    meters = evaluate(network, {k: TASKS[k] for k in ("semseg", "edges")}, samples, device=CPU)
    with torch.no_grad():
        outputs = network(torch.zeros(1, 3, *SIZE))
    assert set(meters) == {"final", *outputs.stages}
    assert set(meters["final"]) == {"semseg"}  # edges are auxiliary
    assert all(set(meters[stage]) == {"semseg", "edges"} for stage in outputs.stages)
    assert all(len(key.split(".")) == 4 for key in figures(meters))
    assert all(len(by_task["semseg"]) == 1 for view, by_task in meters.items() if view != "final")
    assert len(meters["final"]["semseg"]) == len(TASKS["semseg"].metrics()) > 1


def test_costly_metrics_are_left_out_where_they_are_not_wanted() -> None:
    samples = pairs(2)
    whole = figures(evaluate(Oracle(samples), TASKS, samples, device=CPU))
    quick = figures(evaluate(Oracle(samples), TASKS, samples, device=CPU, costly=False))
    assert {k for k in whole if k not in quick} == {k for k in whole if "odsf/" in k} != set()
    assert all(value == pytest.approx(whole[k], nan_ok=True) for k, value in quick.items())


class Constant(nn.Module):
    """A depth ramp at the image's size, and a coarse one as a stage."""

    def forward(self, image: Tensor) -> Outputs:
        b, _, h, w = image.shape
        ramp = torch.arange(h * w, dtype=torch.float32).view(1, 1, h, w).expand(b, -1, -1, -1)
        coarse = torch.arange(h * w // 16, dtype=torch.float32).view(1, 1, h // 4, w // 4).expand(b, -1, -1, -1)
        return Outputs({"depth": ramp}, {"coarse": {"depth": coarse}})


def test_predictions_go_to_the_label_size_by_way_of_the_image_size() -> None:
    image = torch.zeros(3, *SIZE, dtype=torch.uint8)
    labels = [1 + torch.rand(size, generator=torch.Generator().manual_seed(1)) for size in ((48, 20), SIZE, (16, 64))]
    samples: Pairs = [(image, {"depth": label}) for label in labels]
    meters = evaluate(Constant(), make_tasks(("depth",), INFO), samples, device=CPU)

    def up(x: Tensor, size: tuple[int, int]) -> Tensor:
        return nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=False)

    outputs = Constant()(torch.zeros(1, 3, *SIZE))
    for view, raw in (("final", outputs.final), ("coarse", outputs.stages["coarse"])):
        shown = up(raw["depth"], SIZE)
        want = [depth_sums(up(shown, tuple(x.shape)), x[None, None]) for x in labels]
        metric = meters[view]["depth"][0]
        assert int(metric.state["pixels"]) == sum(x.numel() for x in labels)
        for name in ("squared", "absolute"):
            assert float(metric.state[name]) == pytest.approx(float(sum(w[name] for w in want)), rel=1e-12)


def test_ids_are_resized_without_inventing_classes() -> None:
    ids = torch.tensor([[[0, 7], [7, 0]]])
    big = resize_prediction(ids, (5, 6))
    assert big.dtype == torch.int64
    assert set(big.unique().tolist()) == {0, 7}
    assert torch.equal(resize_prediction(resize_prediction(ids, (6, 6)), (2, 2)), ids)
    assert resize_prediction(ids, (2, 2)) is ids


def test_parts_without_samples_merge() -> None:
    samples = pairs(3)
    whole = evaluate(Oracle(samples), TASKS, samples, device=CPU)
    nothing = evaluate(Oracle(samples), TASKS, [], device=CPU)
    assert nothing == {}
    want = figures(whole)
    assert figures(merge({}, copy.deepcopy(whole))) == want
    assert figures(merge(copy.deepcopy(whole), nothing)) == want


@pytest.mark.parametrize("fails", [False, True])
def test_every_module_gets_its_own_mode_back(network: nn.Module, fails: bool) -> None:
    model = copy.deepcopy(network).train()
    model.backbone.eval()  # frozen by its owner
    before = [m.training for m in model.modules()]
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    samples = pairs(2)
    if fails:
        samples[1][1]["semseg"][0, 0] = 77
        with pytest.raises(DataError, match=r"evaluation sample 1: semseg: label holds class id 77 of 3"):
            evaluate(model, TASKS, samples, device=CPU)
    else:
        evaluate(model, TASKS, samples, device=CPU)
    assert [m.training for m in model.modules()] == before
    assert True in before
    assert False in before
    assert all(torch.equal(v, weights[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_a_missing_label_is_told() -> None:
    samples = pairs(1)
    del samples[0][1]["depth"]
    with pytest.raises(DataError, match="evaluation sample 0: depth: no label"):
        evaluate(Constant(), TASKS, samples, device=CPU)


def test_gallery_pictures(network: nn.Module, tmp_path: Path) -> None:
    samples = pairs(4, native=(20, 48))
    plain = evaluate(network, TASKS, samples, device=CPU)
    shown = evaluate(network, TASKS, samples, device=CPU, gallery=Gallery(tmp_path / "pictures", (0, 3, 9)))
    assert figures(shown) == figures(plain)
    with torch.no_grad():
        stages = network(torch.zeros(1, 3, *SIZE)).stages
    names = {f"{i}_image.png" for i in (0, 3)} | {f"{i}_target_{t}.png" for i in (0, 3) for t in FOUR}
    names |= {f"{i}_final_{t}.png" for i in (0, 3) for t in ("semseg", "depth")}
    names |= {f"{i}_{s}_{t}.png" for i in (0, 3) for s, p in stages.items() for t in p}
    assert {p.name for p in (tmp_path / "pictures").iterdir()} == names
    image = np.asarray(Image.open(tmp_path / "pictures" / "3_image.png"))
    assert np.array_equal(image, samples[3][0].permute(1, 2, 0).numpy())
    assert Image.open(tmp_path / "pictures" / "3_final_depth.png").size == (48, 20)
    target = np.asarray(Image.open(tmp_path / "pictures" / "3_target_semseg.png"))
    assert np.array_equal(target, TASKS["semseg"].picture(samples[3][1]["semseg"].long()))


def as_floats(samples: Pairs) -> Pairs:
    return [(image.float() / 255, labels) for image, labels in samples]


def test_float_images_have_the_figures_and_pictures_of_their_eight_bits(network: nn.Module, tmp_path: Path) -> None:
    samples = pairs(3, native=(20, 48))
    whole = evaluate(network, TASKS, samples, device=CPU, gallery=Gallery(tmp_path / "bytes"))
    floats = evaluate(network, TASKS, as_floats(samples), device=CPU, gallery=Gallery(tmp_path / "floats"))
    got = figures(floats)
    assert all(math.isclose(v, got[k], rel_tol=1e-3) or math.isnan(v) for k, v in figures(whole).items())
    names = sorted(p.name for p in (tmp_path / "bytes").iterdir())
    assert names == sorted(p.name for p in (tmp_path / "floats").iterdir())
    for i in range(3):
        shown = np.asarray(Image.open(tmp_path / "floats" / f"{i}_image.png"))
        assert np.array_equal(shown, samples[i][0].permute(1, 2, 0).numpy())


class Inputs(nn.Module):
    """Keeps what it is given and predicts depth 1."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, image: Tensor) -> Outputs:
        self.seen.append(image)
        return Outputs({"depth": torch.ones(len(image), 1, *image.shape[-2:])})


@pytest.mark.parametrize("name", NORMALISE)
@pytest.mark.parametrize("floats", [False, True])
def test_the_network_is_given_what_it_was_trained_on(name: str, floats: bool) -> None:
    samples, inputs = pairs(3), Inputs()
    shown = as_floats(samples) if floats else samples
    evaluate(inputs, {"depth": TASKS["depth"]}, shown, device=CPU, normalise=name)
    (seen,) = inputs.seen
    assert torch.equal(seen[:3], NORMALISE[name](torch.stack([image for image, _ in shown])))
    with pytest.raises(SpecError, match=r"data\.normalise: unknown normalisation 'image'"):
        evaluate(inputs, {"depth": TASKS["depth"]}, samples, device=CPU, normalise="image")


def test_a_full_disk_is_told_while_pictures_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    samples = pairs(1)
    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(StoreError, match=r"No space left.*Free disk space") as caught:
        evaluate(Oracle(samples), TASKS, samples, device=CPU, gallery=Gallery(tmp_path))
    assert caught.value.file is not None
    assert Path(caught.value.file).parent == tmp_path
