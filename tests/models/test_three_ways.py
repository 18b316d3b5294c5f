"""3-ways PAD-Net: vectors and sizes of the public implementation, what meets where, side predictions."""

import pytest
import torch
from dense_vectors import assert_sums, fill
from model_vectors import randn, spec

from mtlrepro.errors import SpecError
from mtlrepro.models import build_model
from mtlrepro.models.distillation import Distillation

CHANNELS = {"semseg": 14, "depth": 1, "normals": 3}
TASKS = ("semseg", "depth", "normals")
NARROW = (4, 6, 8, 8, 12)
SELF_SUPERVISED = {"sides": (("depth", (1, 2, 3)),), "sigmoid": ("depth",)}


def nano(tasks=TASKS, **values):
    torch.manual_seed(0)
    return build_model(
        spec("three_ways", " ".join(tasks), backbone="resnet_nano_os16", widths=NARROW, **values), CHANNELS
    )


def image():
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def test_distillation_vectors():
    module = Distillation(("semseg", "depth"), ("semseg", "depth"), 4)
    for seed, (task, source) in ((800, ("semseg", "depth")), (802, ("depth", "semseg"))):
        fill(module.units[task][source].mask, seed)
        fill(module.units[task][source].value, seed + 1)
    features = {"semseg": randn(804, (1, 4, 6, 8))[0], "depth": randn(805, (1, 4, 6, 8))[0]}
    found = module(features)
    assert_sums(found["semseg"], 33.86386, (0.821377, -0.832156, -1.473335, 1.315804), place=(2, 3))
    assert_sums(found["depth"], -2.80988, (1.638786, 0.785844, -1.241336, 1.384077), place=(2, 3))


def test_published_shapes():
    with torch.device("meta"):
        model = build_model(spec("three_ways", "semseg depth", backbone="resnet101_os16"), CHANNELS).eval()
        outputs = model(torch.empty(1, 3, 64, 128))
    shapes = {name: {t: tuple(p.shape[1:]) for t, p in stage.items()} for name, stage in outputs.stages.items()}
    assert shapes == {"stage2": {"semseg": (14, 16, 32), "depth": (1, 16, 32)}}
    assert {t: tuple(p.shape[1:]) for t, p in outputs.final.items()} == {"semseg": (14, 64, 128), "depth": (1, 64, 128)}
    assert model.distillation.units["semseg"]["depth"].mask.in_channels == 128


def run(decoder, maps, features, stages):
    for stage in stages:
        features = decoder.run(stage, maps, features)
    return features


@torch.no_grad()
def test_is_its_definition():
    model = nano().eval()
    found = model(image())
    maps = found.features
    features = {task: run(decoder, maps, None, (4, 3, 2)) for task, decoder in model.decoders.items()}
    for task, decoder in model.decoders.items():
        assert torch.equal(found.stages["stage2"][task], decoder.sides["2"](features[task]))
        refined = features[task]
        for source in TASKS:
            if source != task:
                unit = model.distillation.units[task][source]
                refined = refined + unit.value(features[source]) * unit.mask(features[source]).sigmoid()
        final = decoder.sides["0"](run(decoder, maps, refined, (1, 0)))
        torch.testing.assert_close(found.final[task], final, rtol=1e-5, atol=1e-5)


def test_tasks_meet_after_the_side_predictions():
    model = nano()

    def sources(predictions):
        model.zero_grad()
        predictions["depth"].mean().backward()
        return {t for t, d in model.decoders.items() if any(p.grad is not None for p in d.start["4"].parameters())}

    assert sources(model(image()).stages["stage2"]) == {"depth"}
    assert sources(model(image()).final) == set(TASKS)


@torch.no_grad()
def test_single_task_distils_from_nobody():
    model = nano(("depth",)).eval()
    assert not list(model.distillation.parameters())
    found = model(image())
    decoder = model.decoders["depth"]
    assert torch.equal(found.final["depth"], decoder.predict(0, run(decoder, found.features, None, range(4, -1, -1))))


def test_sides_of_self_supervised_depth():
    outputs = nano(("semseg", "depth"), **SELF_SUPERVISED)(image())
    shapes = {name: {t: tuple(p.shape[1:]) for t, p in stage.items()} for name, stage in outputs.stages.items()}
    assert shapes == {
        "stage3": {"depth": (1, 8, 12)},
        "stage2": {"semseg": (14, 16, 24), "depth": (1, 16, 24)},
        "stage1": {"depth": (1, 32, 48)},
    }
    for prediction in (outputs.final["depth"], *(stage["depth"] for stage in outputs.stages.values())):
        assert 0 < prediction.min() < prediction.max() < 1
    assert outputs.final["semseg"].min() < 0


def gradients(device):
    model = nano(**SELF_SUPERVISED).to(device)
    torch.manual_seed(5)
    outputs = model(image().to(device))
    predictions = [*outputs.final.values(), *(p for stage in outputs.stages.values() for p in stage.values())]
    sum(p.square().mean() for p in predictions).backward()
    return [p.grad for p in model.parameters()]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_same_seed_same_bits(device):
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        assert all(torch.equal(a, b) for a, b in zip(gradients(device), gradients(device), strict=True))
    finally:
        torch.set_deterministic_debug_mode(mode)


def test_training_on_one_image_is_refused():
    with pytest.raises(SpecError, match=r"recipe.batch: .*at least two images"):
        nano()(image()[:1])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sides": (("normal", (1,)),)}, "sides: unknown task 'normal'. Did you mean 'normals'"),
        ({"sides": (("depth", (5,)),)}, r"sides: no decoder predicts at stages .*Name stages from 1 to 4"),
        ({"sigmoid": ("edges",)}, "sigmoid: unknown task 'edges'. Known: depth, normals, semseg"),
    ],
)
def test_specs_that_do_not_fit(values, message):
    with torch.device("meta"), pytest.raises(SpecError, match=message):
        nano(**values)
