"""InvPT: parameters and vectors of the public implementation, sizes, unused layers, a training that goes on."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_vectors import randn, spec
from shape_vectors import assert_statistics, fill_by_shape
from torch import nn

from mtlrepro.engine import checkpoint
from mtlrepro.engine.optim import OPTIMIZERS
from mtlrepro.engine.train import _check_state
from mtlrepro.errors import SpecError
from mtlrepro.models import build_model
from mtlrepro.models.handed import Handed
from mtlrepro.models.invpt import InvPT
from mtlrepro.spec import Recipe

NYUD = {"semseg": 40, "depth": 1, "normals": 3, "edges": 1}
PASCAL = {"semseg": 21, "parts": 7, "saliency": 2, "normals": 3, "edges": 1}
SIZES = {len(NYUD): (448, 576), len(PASCAL): (512, 512)}
SMALL = {"semseg": 5, "depth": 1, "normals": 3, "edges": 1}
UNUSED = ("taps.2.", "decoder.norm.", "decoder.widen.0.", "decoder.blocks.0.attention.fuse.")


@cache
def published(backbone, tasks):
    channels = dict(tasks)
    with torch.device("meta"):
        return build_model(spec("invpt", " ".join(channels), backbone=backbone), channels, SIZES[len(channels)])


def size_of(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize(
    ("backbone", "channels", "parameters", "encoder"),
    [
        ("vit_l16", NYUD, 402_092_888, 304_133_120),
        ("vit_l16", PASCAL, 422_929_810, 304_149_504),
        ("vit_b16", NYUD, 160_823_896, 86_422_272),
        ("vit_b16", PASCAL, 176_347_794, 86_434_560),
    ],
)
def test_published_parameters(backbone, channels, parameters, encoder):
    model = published(backbone, tuple(channels.items()))
    assert size_of(model) == parameters
    assert size_of(model.backbone) == encoder


# Preliminary decoders, their predictions, last 3x3 convolutions with predictions, mixing.
PARTS = {
    len(NYUD): [56_635_392, 23_085, 11_950_848 + 25_965, 1_207_872],
    len(PASCAL): [70_794_240, 17_442, 14_938_560 + 19_618, 1_497_024],
}


@pytest.mark.parametrize("channels", [NYUD, PASCAL], ids=["nyud", "pascal"])
def test_published_parameters_of_the_parts(channels):
    model = published("vit_l16", tuple(channels.items()))
    parts = model.preliminary, model.predictions, model.heads, model.mix
    assert [size_of(part) for part in parts] == PARTS[len(channels)]
    assert [size_of(tap) for tap in model.taps] == [1_327_248, 2_654_496, 5_308_992]


@cache
def small():
    """A small decoder on the encoder maps of the vectors, its predictions, and what its last layers get."""
    backbone = Handed((32,) * 4, (16,) * 4)
    model = fill_by_shape(InvPT(backbone, tuple(SMALL), SMALL, width=28, prediction_width=4))
    backbone.maps = [tokens.mT.unflatten(2, (8, 12)) for tokens in randn(1, *[(2, 96, 32)] * 4)]
    features = {}
    for task, head in model.heads.items():
        head[-1].register_forward_pre_hook(lambda _, inputs, task=task: features.update({task: inputs[0]}))
    with torch.no_grad():
        return model, model(torch.empty(2, 3, 128, 192)), features


FEATURES = {
    "semseg": (1.209376, 1.209376, 0, 0, 1.651105, 1.158017),
    "depth": (0.949837, 0.949837, 0, 0, 0.966593, 1.221490),
    "normals": (1.033491, 1.033491, 0, 0, 0.539311, 0.307905),
    "edges": (0.962429, 0.962429, 0, 0, 0.679083, 1.270271),
}
INITIAL = {
    "semseg": (0.328510, 0.414110, 0.538646, -0.211996, 0.587959, 0.097554),
    "depth": (0.391456, 0.394644, 0.406085, 0.175094, 0.218862, 0.389233),
    "normals": (-0.137907, 0.323609, -0.437288, -0.115148, -0.200743, 0.189304),
    "edges": (0.391456, 0.394644, 0.406085, 0.175094, 0.218862, 0.389233),
}
FINAL = {
    "semseg": (0.786822, 1.060753, -1.306897, 0.323200, -2.677597, 1.421763),
    "depth": (2.746529, 2.746529, 4.866573, 1.318170, 3.459961, 2.210475),
    "normals": (-0.799126, 1.746961, 0.551636, -1.700870, 0.021681, -0.163357),
    "edges": (2.432898, 2.432898, 4.446768, 1.397013, 3.188421, 2.010298),
}


@pytest.mark.parametrize("task", SMALL)
def test_vectors_of_the_public_implementation(task):
    _, outputs, features = small()
    assert features[task].shape == (2, 32, 32, 48)
    assert_statistics(features[task], *FEATURES[task])
    assert outputs.stages["initial"][task].shape == (2, SMALL[task], 4, 6)
    assert_statistics(outputs.stages["initial"][task], *INITIAL[task])
    assert outputs.final[task].shape == (2, SMALL[task], 128, 192)
    assert_statistics(outputs.final[task], *FINAL[task])


def test_parameters_of_the_small_decoder():
    model, _, _ = small()
    assert size_of(model) - size_of(*(head[-1] for head in model.heads.values())) == 189_712


def nano(channels=SMALL, size=(64, 96)):
    torch.manual_seed(0)
    return build_model(
        spec("invpt", " ".join(channels), backbone="vit_nano", width=12, prediction_width=4), channels, size
    )


@settings(max_examples=10, deadline=None)
@given(rows=st.integers(1, 5), columns=st.integers(1, 5), batch=st.integers(1, 2), tasks=st.integers(1, 4))
def test_any_even_grid(rows, columns, batch, tasks):
    # Odd numbers of queries are not halved exactly from stage to stage.
    channels, (h, w) = dict(list(SMALL.items())[:tasks]), (16 * rows, 16 * columns)
    with torch.device("meta"):
        outputs = nano(channels, (h, w)).eval()(torch.empty(batch, 3, h, w))
    assert {t: p.shape for t, p in outputs.final.items()} == {t: (batch, c, h, w) for t, c in channels.items()}
    assert {t: p.shape for t, p in outputs.stages["initial"].items()} == {
        t: (batch, c, rows, columns) for t, c in channels.items()
    }
    assert [m.shape for m in outputs.features] == [(batch, 96, 2 * rows, 2 * columns)] * 4


def test_maps_that_cannot_be_halved_are_named():
    with torch.device("meta"):
        model = nano(size=(64, 72))
        with pytest.raises(SpecError, match=r"data.size: cannot halve maps of 8x9. Choose multiples of 16"):
            model(torch.empty(1, 3, 64, 72))


def test_other_backbones_are_refused():
    with torch.device("meta"), pytest.raises(SpecError, match=r"backbone: InvPT needs 4 maps of one stride.*'vit_l16'"):
        build_model(spec("invpt", "depth"), SMALL)


@pytest.mark.parametrize(("width", "prediction_width"), [(12, 5), (0, 8), (24, -8)])
def test_widths_that_do_not_halve_are_refused(width, prediction_width):
    with torch.device("meta"), pytest.raises(SpecError, match=r"width: no stages start .* is a multiple of 8"):
        build_model(
            spec("invpt", "depth", backbone="vit_nano", width=width, prediction_width=prediction_width),
            SMALL,
            (64, 96),
        )


def loss(model):
    image = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    outputs = model(image)
    predictions = [*outputs.final.values(), *outputs.stages["initial"].values()]
    return sum((p - 1).square().mean() for p in predictions)


def test_initialisation():
    drawn = torch.cat([head[0].weight.flatten() for head in nano().heads.values()])
    assert drawn.std().item() == pytest.approx(0.02, rel=0.02)


def test_gradients_pass_through_the_preliminary_predictions():
    model = nano()
    model(torch.rand(2, 3, 64, 96)).final["depth"].sum().backward()
    assert all(model.predictions[task].weight.grad.any() for task in SMALL)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_gradients_repeat_bit_by_bit(device):
    model, image = nano().to(device), torch.rand(2, 3, 64, 96, device=device)
    used = [p for name, p in model.named_parameters() if not name.startswith(UNUSED)]
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        first, second = (
            torch.autograd.grad(sum(p.square().mean() for p in model(image).final.values()), used) for _ in range(2)
        )
    finally:
        torch.set_deterministic_debug_mode(mode)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_training_with_unused_layers_can_be_stored_and_resumed(tmp_path, optimizer):
    recipe = Recipe(optimizer, 1e-2, 1e-2, batch=2, epochs=1)

    def start():
        model = nano().train()
        return model, OPTIMIZERS[optimizer]([{"params": list(model.parameters())}], recipe)

    def steps(model, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            loss(model).backward()
            optimizer.step()
        return model.state_dict()

    (whole, its), (first, its_first), (second, its_second) = start(), start(), start()
    before = {name: p.detach().clone() for name, p in whole.named_parameters()}
    expected = steps(whole, its, 4)
    unused = {name for name, p in whole.named_parameters() if p.grad is None}
    assert unused == {name for name in before if name.startswith(UNUSED)}
    assert len(unused) == 2 + 2 + 2 * len(SMALL) + 2
    for name, parameter in whole.named_parameters():
        assert torch.equal(parameter, before[name]) == (name in unused), name  # weight decay leaves them alone, too

    steps(first, its_first, 2)
    file = tmp_path / "checkpoint.safetensors"
    checkpoint.save(file, first, nn.Module(), its_first, checkpoint.Position(2))
    assert checkpoint.load(file, second, nn.Module(), its_second).step == 2
    resumed = steps(second, its_second, 2)
    assert all(torch.equal(resumed[name], value) for name, value in expected.items())
    _check_state(second, nn.Module(), 4)
