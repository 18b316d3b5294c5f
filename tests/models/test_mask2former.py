"""Mask2Former: what it shares, identity with the library's network, sizes, stochastic depth, checkpoints, errors."""

import dataclasses
import sys

import pytest
import torch
from model_vectors import randn
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mtlrepro.errors import DataError, MissingExtra, SpecError
from mtlrepro.models.mask2former import (
    MASK2FORMER_NANO,
    MASK2FORMER_SWIN_S,
    Mask2Former,
    canonical,
    shared_representation,
)
from mtlrepro.models.weights import load_weights

transformers = pytest.importorskip("transformers")

TAG = "facebook/mask2former-swin-small-ade-semantic"


def nano(seed=0, **changes):
    torch.manual_seed(seed)
    return dataclasses.replace(MASK2FORMER_NANO, **changes).build()


@pytest.fixture(scope="module")
def full():
    """The published size, on the meta device."""
    with torch.device("meta"):
        return MASK2FORMER_SWIN_S.build().eval()


@pytest.fixture(scope="module")
def segmenter():
    """The library's whole network of the same size, with offsets that depend on the image."""
    torch.manual_seed(1)
    config = nano().network.config
    config.num_labels = 5
    network = transformers.Mask2FormerForUniversalSegmentation(config).eval()
    for layer in network.model.pixel_level_module.decoder.encoder.layers:
        nn.init.normal_(layer.self_attn.sampling_offsets.weight, std=0.1)
        nn.init.normal_(layer.self_attn.attention_weights.weight, std=0.1)
    return network


@pytest.fixture(scope="module")
def checkpoint(segmenter, tmp_path_factory):
    """What the library saves of it: since version 5, under the names of the published checkpoints."""
    folder = tmp_path_factory.mktemp("saved")
    segmenter.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


def saved(folder, tensors, tag=TAG):
    file = folder / f"{tag}.safetensors"
    file.parent.mkdir(exist_ok=True)
    save_file(tensors, file)
    return folder


def test_representation_vector():
    shared = shared_representation(*randn(10, (1, 4, 3, 5), (1, 6, 3, 5))).double()
    assert shared.shape == (1, 4, 3, 5)
    found = [shared.sum(), shared.abs().sum(), shared.square().sum(), *shared.flatten()[:3], shared.flatten()[-1]]
    expected = [-14.097446, 88.853194, 302.366811, 2.860424, -1.460608, -5.874372, 1.279743]
    assert [value.item() for value in found] == pytest.approx(expected, abs=1e-5)


def test_both_factors_get_gradients():
    pixels, masks = (t.requires_grad_() for t in randn(3, (2, 4, 3, 5), (2, 6, 3, 5)))
    shared_representation(pixels, masks).sum().backward()
    torch.testing.assert_close(pixels.grad, masks.detach().sum(1, keepdim=True).expand_as(pixels))
    torch.testing.assert_close(masks.grad, pixels.detach().sum(1, keepdim=True).expand_as(masks))


# fvcore's 107.148 and 91.794 10^9 of the library's network lack 1.643 and 1.413 of the windows' fused attention and
# 0.484 and 0.413 of the queries' scores; 0.836 and 0.714 of them are norms, resizing and sampling, no products.
@pytest.mark.parametrize(("size", "macs"), [((480, 640), 108_438_573_312), ((512, 512), 92_905_802_624)])
def test_full_size_on_meta(full, size, macs):
    seen, products = {}, FlopCounterMode(display=False)
    network, note = full.network, lambda *call: seen.update(call[-1])
    hooks = [part.register_forward_hook(note) for part in (network.pixel_level_module, network.transformer_module)]
    with hooks[0], hooks[1], torch.no_grad(), products:
        (shared,) = full(torch.empty(1, 3, *size, device="meta"))
    assert products.get_total_flops() == 2 * macs
    grid = size[0] // 4, size[1] // 4
    assert seen["decoder_last_hidden_state"].shape == (1, 256, *grid)
    assert [m.shape for m in seen["masks_queries_logits"]] == [(1, 100, *grid)] * 10
    assert seen["encoder_last_hidden_state"].shape == (1, 768, size[0] // 32, size[1] // 32)
    assert shared.shape == (1, 256, *grid)
    assert (full.channels, full.strides) == ((256,), (4,))
    assert {p.device.type for p in full.parameters()} == {"meta"}


def test_full_size_is_the_librarys_default(full):
    with torch.device("meta"):
        default = transformers.Mask2FormerModel(transformers.Mask2FormerConfig())
    ours, theirs = ({canonical(k): v.shape for k, v in m.state_dict().items()} for m in (full, default))
    unread = theirs.keys() - ours.keys()
    assert ours == {name: shape for name, shape in theirs.items() if name not in unread}
    # Versions from 5.9 on have a layer norm that nothing reads, 1,536 more than the 68,718,730 that are live.
    assert {name.rpartition(".")[0] for name in unread} <= {"pixel_level_module.encoder.layernorm"}
    assert sum(p.numel() for p in full.parameters()) == 68_718_730
    assert MASK2FORMER_SWIN_S.weights == (TAG,)
    assert MASK2FORMER_SWIN_S.drop_path == default.config.backbone_config.drop_path_rate == 0.3


def rates(backbone):
    """Stochastic depth of every block of the Swin transformer that has any."""
    return [m.drop_prob for m in backbone.modules() if type(m).__name__ == "SwinDropPath"]


def test_stochastic_depth_rises_linearly(full):
    found, none = rates(full), rates(nano())
    each = 1 if len(found) == 23 else 2  # older versions of the library share a block's one
    assert found == pytest.approx([0.3 * number / 23 for number in range(1, 24) for _ in range(each)])
    assert none == []


def test_stochastic_depth_is_for_training_alone():
    backbone, image = nano(drop_path=0.9), torch.rand(4, 3, 64, 64)
    with torch.no_grad():
        training = [backbone.train()(image)[0] for _ in range(3)]
        evaluated = [backbone.eval()(image)[0] for _ in range(2)]
    assert torch.equal(*evaluated)
    assert not torch.equal(training[0], training[1]) or not torch.equal(training[0], training[2])


def test_training_on_meta_reads_no_values():
    with torch.device("meta"):
        (shared,) = nano().train()(torch.empty(2, 3, 64, 96))
    assert shared.shape == (2, 16, 16, 24)


def test_all_parameters_are_live():
    backbone = nano()
    (shared,) = backbone(torch.rand(2, 3, 64, 96))
    assert shared.shape == (2, *backbone.channels, 16, 24)
    shared.square().mean().backward()
    missing = [name for name, p in backbone.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert missing == []
    assert sum(p.numel() for p in backbone.parameters()) == MASK2FORMER_NANO.parameters


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_gradients_repeat_bit_by_bit(device):
    backbone, image = nano().to(device), torch.rand(2, 3, 64, 96, device=device)
    parameters = list(backbone.parameters())
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        first, second = (torch.autograd.grad(backbone(image)[0].square().mean(), parameters) for _ in range(2))
    finally:
        torch.set_deterministic_debug_mode(mode)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_is_the_librarys_network_with_a_checkpoints_weights(tmp_path, segmenter, checkpoint):
    backbone = nano().eval()
    report = load_weights(backbone, TAG, saved(tmp_path, checkpoint))
    assert report.matched == len(backbone.state_dict())
    assert report.matched + report.dropped == len(checkpoint)
    assert (report.defaulted, report.tag) == (0, TAG)
    image = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        found, expected = backbone(image)[0], segmenter(image, output_hidden_states=True)
    pixels, masks = expected.pixel_decoder_last_hidden_state, expected.masks_queries_logits
    scale = found.abs().max().item()
    assert scale > 0
    torch.testing.assert_close(found, pixels * masks.sum(1, keepdim=True), rtol=1e-4, atol=1e-5 * scale)


BLOCK = "pixel_level_module.encoder.encoder.layers.1.blocks.0"


@pytest.mark.parametrize(
    ("published", "newer"),
    [
        (f"model.{BLOCK}.attention.self.query.weight", "attention.q_proj.weight"),
        (f"model.{BLOCK}.attention.self.key.bias", "attention.k_proj.bias"),
        (f"model.{BLOCK}.attention.self.value.bias", "attention.v_proj.bias"),
        (f"model.{BLOCK}.attention.output.dense.weight", "attention.o_proj.weight"),
        (f"model.{BLOCK}.intermediate.dense.bias", "mlp.fc1.bias"),
        (f"model.{BLOCK}.output.dense.bias", "mlp.fc2.bias"),
        (f"model.{BLOCK}.layernorm_before.weight", "layernorm_before.weight"),
        (
            f"model.{BLOCK}.attention.self.relative_position_bias_table",
            "attention.relative_position_bias.relative_position_bias_table",
        ),
    ],
)
def test_published_names_are_those_of_newer_libraries(tmp_path, checkpoint, published, newer):
    assert canonical(published) == canonical(
        f"network.{BLOCK.replace('encoder.encoder', 'encoder.swin.encoder')}.{newer}"
    )
    names = {canonical(name): name for name in checkpoint}
    tensors = {name: tensor for name, tensor in checkpoint.items() if name != names[canonical(published)]}
    backbone = nano()
    value = torch.full_like(checkpoint[names[canonical(published)]], 0.25)
    load_weights(backbone, TAG, saved(tmp_path, {**tensors, published: value}))
    own = {canonical(name): tensor for name, tensor in backbone.state_dict().items()}
    assert torch.equal(own[canonical(published)], value)


PUBLISHED_EXTRAS = {
    "class_predictor.weight": torch.zeros(6, 32),
    "criterion.empty_weight": torch.ones(6),
    f"model.{BLOCK}.attention.self.relative_position_index": torch.zeros(16, 16, dtype=torch.int64),
}


def test_what_a_checkpoint_has_beside_is_dropped(tmp_path, checkpoint):
    plain = load_weights(nano(), TAG, saved(tmp_path, checkpoint))
    report = load_weights(nano(), TAG, saved(tmp_path, {**checkpoint, **PUBLISHED_EXTRAS}))
    assert report.matched == plain.matched
    added = PUBLISHED_EXTRAS.keys() - checkpoint.keys()
    assert report.dropped == plain.dropped + len(added)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"model.transformer_module.queries_embedder.weight": None}, "queries_embedder.weight: tensor is missing"),
        ({"model.extra.weight": torch.zeros(2)}, "model.extra.weight: no such tensor in the backbone"),
        ({"fc.weight": torch.zeros(2)}, "fc.weight: no such tensor in the backbone"),
        (
            {"transformer_module.queries_features.weight": torch.zeros(8, 32)},
            "facebook.*safetensors: .*queries_features.weight: tensor is there twice.*as it is published",
        ),
        (
            {"model.transformer_module.level_embed.weight": torch.zeros(3, 2)},
            r"level_embed.weight: shape \(3, 2\), expec",
        ),
        (
            {"model.pixel_level_module.decoder.level_embed": torch.full((3, 32), torch.nan)},
            "level_embed: values are not f",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_changes_nothing(tmp_path, checkpoint, change, match):
    tensors = {name: value for name, value in {**checkpoint, **change}.items() if value is not None}
    backbone = nano(seed=2)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    with pytest.raises(DataError, match=match):
        load_weights(backbone, TAG, saved(tmp_path, tensors))
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


@pytest.mark.parametrize("size", [(64, 80), (50, 96)])
def test_parts_of_tokens_are_refused(size):
    with (
        torch.device("meta"),
        pytest.raises(SpecError, match=rf"data.size: .*{size[0]}x{size[1]} pixels.*multiples of 32"),
    ):
        nano()(torch.empty(1, 3, *size))


def test_without_transformers_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"transformers, which is not installed.*pip install \"mtlrepro\[mtcp\]\""):
        MASK2FORMER_NANO.build()


def test_the_number_of_parameters_is_guarded():
    with torch.device("meta"), pytest.raises(SpecError, match="414,348 parameters, expected 414,349"):
        nano(parameters=414_349)


def test_building_is_quiet(capfd):
    assert isinstance(nano(), Mask2Former)
    assert capfd.readouterr() == ("", "")
