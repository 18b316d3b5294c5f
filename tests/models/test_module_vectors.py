"""Each module against numbers of the public reference implementation, under formula weights."""

import pytest
import torch
from model_vectors import assert_vector, formula_weights, randn

from mtlrepro.errors import SpecError
from mtlrepro.models.distillation import AttentionUnit, Distillation
from mtlrepro.models.fpm import FeaturePropagation
from mtlrepro.models.heads import HRNetFuse, HRNetHead
from mtlrepro.models.layers import SqueezeExcite, concat_scales, resize
from mtlrepro.models.mti_net import InitialHeads


def test_squeeze_excite():
    (features,) = randn(10, (1, 32, 4, 4))
    out = formula_weights(SqueezeExcite(32))(features)
    assert_vector(out, 0.01954359, 0.474555, (0.6763043, 0.3632856, -0.7848989))


def test_attention_unit():
    (features,) = randn(11, (1, 4, 5, 5))
    out = formula_weights(AttentionUnit(4))(features)
    assert_vector(out, 0.158307, 0.4602635, (0.1740789, -0.1575961, -0.07114936))


def test_distillation():
    tasks = ("semseg", "normals", "edges", "depth")
    features = dict(zip(tasks, randn(12, *[(1, 4, 5, 5)] * 4), strict=True))
    out = formula_weights(Distillation(("semseg", "depth"), tasks, 4))(features)
    assert list(out) == ["semseg", "depth"]
    assert_vector(out["semseg"], 0.2349393, 1.375624, (0.1268441, -0.04044956, 1.596247))
    assert_vector(out["depth"], 0.5058058, 1.091218, (0.3348631, 2.372394, 0.9473631))


def test_distillation_is_equation_1():
    features = dict(zip("ab", randn(1, (2, 3, 4, 4), (2, 3, 4, 4)), strict=True))
    module = Distillation(("a",), ("a", "b"), 3)
    unit = module.units["a"]["b"]
    expected = features["a"] + torch.sigmoid(unit.mask(features["b"])) * unit.value(features["b"])
    torch.testing.assert_close(module(features), {"a": expected})


def test_single_task_distils_from_nobody():
    features = {"depth": randn(1, (1, 4, 3, 3))[0]}
    module = Distillation(("depth",), ("depth",), 4)
    assert not list(module.parameters())
    assert torch.equal(module(features)["depth"], features["depth"])


FPM_VECTORS = {
    "channels": {
        "semseg": (-0.01002465, 0.9094002, (-0.3993982, 0.7537664, -0.04450308)),
        "normals": (0.07855395, 0.9637941, (-0.781267, 1.982925, 0.2676099)),
        "depth": (0.1330978, 1.041399, (1.110162, -1.571504, -0.8902149)),
    },
    "tasks": {
        "semseg": (-0.007869209, 0.906465, (-0.4427598, 0.7537664, -0.04450308)),
        "normals": (0.0807094, 0.9605892, (-0.8246287, 1.982925, 0.2676099)),
        "depth": (0.1352533, 1.041337, (1.066801, -1.571504, -0.8902149)),
    },
}


@pytest.mark.parametrize("softmax", FPM_VECTORS)
def test_feature_propagation(softmax):
    vectors = FPM_VECTORS[softmax]
    features = dict(zip(vectors, randn(13, *[(1, 16, 4, 4)] * 3), strict=True))
    out = formula_weights(FeaturePropagation(tuple(vectors), 16, softmax=softmax))(features)
    for task, vector in vectors.items():
        assert_vector(out[task], *vector)


@pytest.mark.parametrize("softmax", FPM_VECTORS)
def test_even_attention_weighs_every_task_by_one_over_n(softmax):
    features = dict(zip("abc", randn(3, *[(2, 16, 3, 5)] * 3), strict=True))
    module = FeaturePropagation("abc", 16, softmax=softmax).eval()
    torch.nn.init.zeros_(module.attention[-1].weight)
    torch.nn.init.zeros_(module.attention[-1].bias)
    shared = module.reduce(torch.cat(list(features.values()), dim=1) / 3)
    expected = {task: features[task] + module.gates[task](shared) for task in features}
    torch.testing.assert_close(module(features), expected)


def test_feature_propagation_names_bad_options():
    with pytest.raises(SpecError, match=r"fpm_softmax.*Did you mean 'channels'"):
        FeaturePropagation("ab", 8, softmax="channel")
    with pytest.raises(SpecError, match=r"fpm_reduction.*from 1 to 16"):
        FeaturePropagation("ab", 8, reduction=17)


def test_initial_heads():
    backbone, semseg, depth = randn(14, (1, 6, 8, 8), (1, 8, 4, 4), (1, 8, 4, 4))
    module = formula_weights(InitialHeads(("semseg", "depth"), 6, 8, 6, {"semseg": 40, "depth": 1}))
    features, predictions = module(backbone, {"semseg": semseg, "depth": depth})
    assert_vector(features["semseg"], 0.4469962, 0.6199261, (0.2624328, 2.259547, 1.193202))
    assert_vector(predictions["semseg"], 0.001306354, 0.7499604, (-0.8083181, -1.095897, -0.9204825))
    assert_vector(features["depth"], 0.3839142, 0.6098174, (0.07008705, 0, 0))
    assert_vector(predictions["depth"], -0.5355079, 0.5018488, (-0.49663, -0.4228503, -0.4067052))


def test_hrnet_head_and_fuse():
    maps = randn(15, (1, 2, 16, 16), (1, 4, 8, 8), (1, 6, 4, 4), (1, 8, 2, 2))
    head = formula_weights(HRNetHead((2, 4, 6, 8), 3))(maps)
    assert_vector(head, -0.1700434, 0.3863992, (-0.3290146, -0.2778496, -0.1723672))
    assert_vector(formula_weights(HRNetFuse((2, 4, 6, 8)))(maps), 0.3306753, 0.5105995, (0, 0, 0))


def test_resize_is_half_pixel_bilinear():
    row = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    assert resize(row, (1, 4)).flatten().tolist() == [0.0, 0.25, 0.75, 1.0]
    assert resize(row, (1, 2)) is row


def test_concat_scales_keeps_order_and_finest_size():
    fine, coarse = randn(4, (1, 2, 4, 6), (1, 3, 2, 3))
    joined = concat_scales([fine, coarse])
    assert joined.shape == (1, 5, 4, 6)
    assert torch.equal(joined[:, :2], fine)
