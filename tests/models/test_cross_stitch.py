"""Cross-stitch networks: the published unit, the whole network against public code, parts, weights, bad input."""

import copy
from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_vectors import NYUD, PASCAL, assert_vector, formula_weights, image, randn, spec
from safetensors.torch import save_file
from torch.func import functional_call

from mtlrepro.data.sample import DatasetInfo
from mtlrepro.errors import SpecError
from mtlrepro.models import build_decoder, build_model
from mtlrepro.models.backbones import BACKBONES
from mtlrepro.models.cross_stitch import CrossStitch, CrossStitchUnit
from mtlrepro.models.layers import resize
from mtlrepro.models.resnet import STAGES
from mtlrepro.objectives import OBJECTIVES
from mtlrepro.profiling.blank import blank_batch
from mtlrepro.spec import ModelSpec
from mtlrepro.tasks import make_tasks

MAIN = "semseg depth"
BOTH = {"semseg": 5, "depth": 1}
INFO = DatasetInfo("d", ("semseg", "depth"), ("a", "b", "c", "d", "e"))


def nano(main=MAIN, backbone="resnet_nano", **values):
    torch.manual_seed(0)
    return build_model(spec("cross_stitch", main, backbone=backbone, **{"width": 8, **values}), {**PASCAL, **BOTH})


def random_scales(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for unit in model.backbone.units.values():
            unit.scales.copy_(torch.randn(unit.scales.shape, generator=generator))
    return model


# --- the unit ---------------------------------------------------------------------------------------------------------


def test_published_unit():
    maps = randn(16, (1, 3, 2, 2), (1, 3, 2, 2))
    first, second = CrossStitchUnit(2, 3, 0.9, 0.1)(maps)
    assert_vector(first, -0.3744678, 0.6669608, (0.03121341, -1.477128, -0.5692732))
    assert_vector(second, 0.03459864, 1.146276, (-0.742669, -1.066367, -0.3677145))


@given(tasks=st.integers(2, 5), channels=st.integers(1, 4), batch=st.integers(1, 2), seed=st.integers(0, 9))
def test_unit_is_its_definition(tasks, channels, batch, seed):
    generator = torch.Generator().manual_seed(seed)
    unit = CrossStitchUnit(tasks, channels, 0.8, 0.05).double()
    assert torch.equal(unit.scales[0, 1], torch.full((channels,), 0.05).double())
    assert [name for name, _ in unit.named_parameters()] == ["scales"]
    with torch.no_grad():
        unit.scales.copy_(torch.randn(unit.scales.shape, generator=generator))
    maps = [torch.randn(batch, channels, 2, 3, generator=generator, dtype=torch.float64) for _ in range(tasks)]
    expected = torch.einsum("ijc,jbchw->ibchw", unit.scales, torch.stack(maps))
    torch.testing.assert_close(torch.stack(unit(maps)), expected)


@pytest.mark.parametrize(
    ("tasks", "values", "own", "other"),
    [
        (MAIN, {}, 0.9, 0.1),
        (" ".join(PASCAL), {"alpha": 0.8}, 0.8, 0.05),
        (MAIN, {"alpha": 0.7, "beta": 0.2}, 0.7, 0.2),
    ],
    ids=["NYUD-v2", "PASCAL-Context", "chosen"],
)
def test_units_start_from_alpha_and_from_what_it_leaves(tasks, values, own, other):
    model = nano(tasks, **values)
    assert list(model.backbone.units) == list(STAGES)
    for unit, width in zip(model.backbone.units.values(), (32, 48, 64, 96), strict=True):
        count = len(model.heads)
        expected = torch.full((count, count), other).fill_diagonal_(own)
        torch.testing.assert_close(unit.scales, expected[..., None].expand(-1, -1, width))


# --- the network ------------------------------------------------------------------------------------------------------

# Of the public code, with 0.2·cos(c + 3i + 5j) added to the scale of channel c from the j-th task to the i-th.
PUBLISHED = [
    (
        PASCAL,
        {"alpha": 0.8},
        {
            "semseg": (0.02509972, 0.117833, (0.07520599,) * 3),
            "parts": (-0.02105559, 0.09050305, (0.06737813,) * 3),
            "saliency": (0.1337414, 0.04982949, (0.09595726,) * 3),
            "normals": (-0.03844794, 0.1367268, (0.01719168,) * 3),
            "edges": (0.1342862, 0.05012626, (0.09591021,) * 3),
        },
    ),
    (
        {"semseg": 40, "depth": 1},
        {},
        {
            "semseg": (0.02879405, 0.1274932, (0.09010358,) * 3),
            "depth": (0.1026328, 0.03934474, (0.102254,) * 3),
        },
    ),
]


@pytest.mark.parametrize(("channels", "values", "vectors"), PUBLISHED, ids=["five tasks", "two tasks"])
def test_public_implementation(channels, values, vectors):
    model = formula_weights(
        build_model(spec("cross_stitch", " ".join(channels), "", "resnet18_os8", **values), channels)
    )
    with torch.no_grad():
        for unit in model.backbone.units.values():
            to, source, channel = (torch.arange(n, dtype=torch.float64) for n in unit.scales.shape)
            unit.scales += 0.2 * torch.cos(channel + 3 * to[:, None, None] + 5 * source[:, None])
        final = model(image()).final
    assert list(final) == list(channels)
    for task, vector in vectors.items():
        assert_vector(final[task], *vector, rel=1e-3)


@cache
def same_network(task):
    """A single-task network, and the same inside a cross-stitch network whose units pass every map on as it is."""
    single = spec("deeplab_single", task, backbone="resnet_nano", width=8)
    torch.manual_seed(3)
    return build_model(single, BOTH).eval()


@pytest.mark.parametrize("task", BOTH)
def test_without_exchange_a_task_has_its_single_task_network(task):
    model = nano(alpha=1.0).eval()  # which leaves nothing to the others
    for name in BOTH:
        model.part(name).load_state_dict(same_network(name).state_dict())
    with torch.no_grad():
        assert torch.equal(model(image()).final[task], same_network(task)(image()).final[task])


def test_a_part_is_a_view_of_the_model():
    model = nano()
    part = model.part("depth")
    assert part.state_dict().keys() == same_network("depth").state_dict().keys()
    own = {p.data_ptr() for p in model.parameters()}
    assert {p.data_ptr() for p in part.parameters()} < own
    others = {p.data_ptr() for p in model.part("semseg").parameters()}
    assert not others & {p.data_ptr() for p in part.parameters()}


def test_parts_and_units_are_the_whole_network():
    model = nano()
    pieces = [*(model.part(task) for task in BOTH), *model.backbone.units.values()]
    assert sum(p.numel() for piece in pieces for p in piece.parameters()) == sum(p.numel() for p in model.parameters())


def test_every_stage_of_a_task_meets_that_of_every_other():
    model = random_scales(nano()).eval()
    with torch.no_grad():
        before = model(image())
        for stage in STAGES:
            scales = model.backbone.units[stage].scales.clone()
            scales[0, 1] += 1.0
            changed = functional_call(model, {f"backbone.units.{stage}.scales": scales}, (image(),))
            assert not torch.equal(changed.final["semseg"], before.final["semseg"]), stage
            # Depth sees what semseg has got only where a unit comes after it.
            assert torch.equal(changed.final["depth"], before.final["depth"]) == (stage == STAGES[-1]), stage


def test_units_stand_behind_the_stages_and_features_are_all_tasks_maps():
    model = random_scales(nano()).eval()
    semseg, depth = model.backbone.encoders.values()
    x, y = image(), image()
    with torch.no_grad():
        outputs = model(image())
        for place, stage in enumerate(STAGES):
            names = ("conv1", "bn1", "act1", "maxpool", stage) if stage == "layer1" else (stage,)
            for name in names:
                x, y = semseg.get_submodule(name)(x), depth.get_submodule(name)(y)
            x, y = model.backbone.units[stage]([x, y])
            assert torch.equal(outputs.features[place], torch.cat((x, y), 1))
        assert torch.equal(outputs.final["depth"], resize(model.heads["depth"](y), (64, 96)))
        assert all(map(torch.equal, model.backbone(image()), outputs.features))
    assert (model.backbone.channels, model.backbone.strides) == ((64, 96, 128, 192), (4, 8, 8, 8))


def test_aligned_corners_on_request():
    centred, aligned = nano().eval(), nano(aligned=True).eval()
    with torch.no_grad():
        found = aligned(image()).final["depth"]
        coarse = aligned.heads["depth"](aligned.backbone.stages(image())[-1][1])
        assert not torch.allclose(found, centred(image()).final["depth"])
    torch.testing.assert_close(found[..., ::9, ::95], coarse[..., ::11])


def test_output_strides_and_a_stem_map_do_not_matter():
    outputs = nano(backbone="resnet_nano_os16").eval()(image())
    assert [tuple(m.shape) for m in outputs.features] == [
        (1, 64, 16, 24),
        (1, 96, 8, 12),
        (1, 128, 4, 6),
        (1, 192, 4, 6),
    ]


# --- weights ----------------------------------------------------------------------------------------------------------


def test_every_task_starts_from_the_backbone_that_is_handed_over():
    backbone = BACKBONES["resnet_nano"].build()
    backbone.weights_report = report = object()
    before = copy.deepcopy(backbone.state_dict())
    model = CrossStitch(backbone, tuple(BOTH), BOTH, width=8)
    assert model.backbone.weights_report is report
    first, second = model.backbone.encoders.values()
    assert first is backbone
    for encoder in (first, second):
        assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())
    assert not {p.data_ptr() for p in first.parameters()} & {p.data_ptr() for p in second.parameters()}
    assert nano().backbone.weights_report is None


def test_units_learn_at_a_rate_of_their_own():
    for factor in (1.0, 100.0):
        model = nano(unit_lr_factor=factor)
        ((parameters, found),) = model.rates()
        assert found == factor
        assert {id(p) for p in parameters} == {id(unit.scales) for unit in model.backbone.units.values()}


# --- objectives that read features ------------------------------------------------------------------------------------


def first_step(objective, **values):
    model = nano().train()
    tasks = make_tasks(tuple(BOTH), INFO)
    cls = OBJECTIVES[objective]
    made = cls(tasks, dict.fromkeys(BOTH, 1.0), model.backbone.channels, **values)
    labelled = {"semseg": torch.tensor([True, False]), "depth": torch.tensor([False, True])}
    losses = made(model, blank_batch(tasks, labelled, (32, 64), made.views), 0.9)
    losses.total.backward()
    return model, losses


@pytest.mark.parametrize(
    ("objective", "values", "term"),
    [
        ("aware3d", {"channels": 4, "hidden": 8, "field_hidden": 4, "samples": 4}, "rendered/depth"),
        ("mtpsl", {"encoder": "segnet_nano"}, "cross_task"),
    ],
)
def test_objectives_can_read_the_maps_of_all_tasks(objective, values, term):
    _, losses = first_step(objective, **values)
    assert any(term in name for name in losses.terms)
    assert torch.isfinite(losses.total)


def test_a_second_decoder_cannot_share_them():
    with pytest.raises(SpecError, match=r"model\.arch: a second decoder of architecture cross_stitch cannot share"):
        build_decoder(spec("cross_stitch", MAIN, backbone="resnet_nano"), NYUD, nano().backbone)


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", ["hrnet_nano", "segnet_nano", "vit_nano", "fpn_nano"])
def test_other_backbones_are_refused(backbone):
    with torch.device("meta"), pytest.raises(SpecError, match=r"model\.backbone: .* between the stages of") as caught:
        build_model(spec("cross_stitch", MAIN, backbone=backbone), NYUD, (32, 32))
    assert "'resnet50_os8', 'resnet18_os8', 'resnet_nano'" in caught.value.mend


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"main": "depth"}, r"model\.main: a cross-stitch unit needs other tasks.*'deeplab_single'"),
        ({"width": 0}, "width: no head has 0 channels"),
        ({"alpha": "0.9"}, "alpha: cannot be '0.9'"),
        ({"alpha": float("nan")}, "alpha: cannot be nan.*finite"),
        ({"beta": True}, "beta: cannot be True"),
        ({"beta": float("inf")}, "beta: cannot be inf"),
        ({"unit_lr_factor": -1}, "unit_lr_factor: cannot be -1.*at least 0"),
        ({"unit_lr_factor": None}, "unit_lr_factor: cannot be None"),
    ],
)
def test_options_that_do_not_fit(values, message):
    with pytest.raises(SpecError, match=message):
        nano(**values)


def test_a_single_task_network_has_one_task():
    with torch.device("meta"), pytest.raises(SpecError, match=r"model\.main: a single-task network .*'deeplab'"):
        build_model(spec("deeplab_single", MAIN, backbone="resnet_nano"), NYUD)


@pytest.mark.parametrize("size", [(32, 48), (33, 32)])
def test_odd_sizes_are_refused(size):
    with pytest.raises(SpecError, match=r"data\.size: cannot take an image"):
        nano()(torch.zeros(1, 3, *size))


def test_every_copy_starts_from_the_pinned_weights(tmp_path, monkeypatch):
    source = BACKBONES["resnet18_os8"].build()
    tensors = {name: tensor.contiguous() for name, tensor in source.state_dict().items()}
    save_file(tensors, tmp_path / "resnet18.tv_in1k.safetensors")
    monkeypatch.setenv("MTLREPRO_WEIGHTS", str(tmp_path))
    tagged = ModelSpec("cross_stitch", "resnet18_os8", ("semseg", "depth"), weights="resnet18.tv_in1k")
    model = build_model(tagged, NYUD)
    assert model.backbone.weights_report.tag == "resnet18.tv_in1k"
    for encoder in model.backbone.encoders.values():
        assert all(torch.equal(value, tensors[name]) for name, value in encoder.state_dict().items())
