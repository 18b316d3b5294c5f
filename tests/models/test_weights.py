"""Pretrained weights: strict loading from small files, and clear errors for every way a file can be wrong."""

import dataclasses
import os

import pytest
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

from mtlrepro.errors import DataError, SpecError
from mtlrepro.models import build_model
from mtlrepro.models.hrnet import HRNET18, HRNET_NANO
from mtlrepro.models.vit import VIT_NANO, resize_positions
from mtlrepro.models.weights import FOLDER_VARIABLE, load_weights
from mtlrepro.spec import ModelSpec, options

TAG = "nano.test"
HEAD = {"classifier.weight": torch.zeros(3, 4), "incre_modules.0.0.conv1.weight": torch.zeros(2)}
SOME = "stage4.0.branches.3.0.conv1.weight"


@pytest.fixture(autouse=True)
def no_weights_folder(monkeypatch):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)


@pytest.fixture(scope="module")
def checkpoint():
    torch.manual_seed(7)
    return HRNET_NANO.build().state_dict()


@pytest.fixture
def backbone():
    torch.manual_seed(8)
    return HRNET_NANO.build()


def assert_refused(backbone, folder, match):
    before = {name: t.clone() for name, t in backbone.state_dict().items()}
    with pytest.raises(DataError, match=match):
        load_weights(backbone, TAG, folder)
    assert all(torch.equal(t, before[name]) for name, t in backbone.state_dict().items())


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_loads_and_counts(tmp_path, checkpoint, backbone, suffix):
    file = tmp_path / f"{TAG}.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)({**checkpoint, **HEAD}, file)
    report = load_weights(backbone, TAG, tmp_path)
    assert (report.matched, report.dropped, report.defaulted) == (len(checkpoint), len(HEAD), 0)
    assert report.source == str(file)
    assert all(torch.equal(t, checkpoint[name]) for name, t in backbone.state_dict().items())


def test_checkpoint_without_step_counters(tmp_path, checkpoint, backbone):
    old = {name: t for name, t in checkpoint.items() if not name.endswith("num_batches_tracked")}
    save_file(old, tmp_path / f"{TAG}.safetensors")
    report = load_weights(backbone, TAG, tmp_path)
    assert report.matched == len(old)
    assert report.defaulted == len(checkpoint) - len(old) > 0


def test_missing_tensor_is_named(tmp_path, checkpoint, backbone):
    save_file({k: v for k, v in checkpoint.items() if k != SOME}, tmp_path / f"{TAG}.safetensors")
    assert_refused(backbone, tmp_path, rf"{TAG}.safetensors: {SOME}: tensor is missing \(1 in all\). Replace it")


def test_extra_tensor_is_named(tmp_path, checkpoint, backbone):
    save_file({**checkpoint, "stage5.weight": torch.zeros(1)}, tmp_path / f"{TAG}.safetensors")
    assert_refused(backbone, tmp_path, "stage5.weight: no such tensor in the backbone")


def test_wrong_shape_is_named(tmp_path, checkpoint, backbone):
    save_file({**checkpoint, SOME: torch.zeros(2, 3)}, tmp_path / f"{TAG}.safetensors")
    assert_refused(backbone, tmp_path, rf"{SOME}: shape \(2, 3\), expected \(64, 64, 3, 3\)")


def test_non_finite_tensor_is_named(tmp_path, checkpoint, backbone):
    save_file({**checkpoint, SOME: torch.full_like(checkpoint[SOME], torch.nan)}, tmp_path / f"{TAG}.safetensors")
    assert_refused(backbone, tmp_path, f"{SOME}: values are not finite")


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("kept", [0, 10, 5000, -1])
def test_truncated_file_is_named(tmp_path, checkpoint, backbone, suffix, kept):
    file = tmp_path / f"{TAG}.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(checkpoint, file)
    file.write_bytes(file.read_bytes()[:kept])
    assert_refused(backbone, tmp_path, f"{TAG}.{suffix}: cannot be read as tensors")


class Code:
    """Runs a shell command when unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_pickled_code_is_not_run(tmp_path, backbone):
    marker = tmp_path / "ran"
    torch.save({"conv1.weight": Code(f"touch {marker}")}, tmp_path / f"{TAG}.pth")
    assert_refused(backbone, tmp_path, f"{TAG}.pth: cannot be read as tensors")
    assert not marker.exists()


def test_nested_checkpoint_is_refused(tmp_path, checkpoint, backbone):
    torch.save({"state_dict": checkpoint}, tmp_path / f"{TAG}.pth")
    assert_refused(backbone, tmp_path, "holds a dict, not tensors by name. Save a plain state dict")


def test_empty_folder_names_both_files(tmp_path, backbone):
    assert_refused(backbone, tmp_path, f"neither {TAG}.safetensors nor {TAG}.pth is there.*{FOLDER_VARIABLE}")


def test_no_network_names_the_folder_variable(monkeypatch, backbone):
    def offline(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("timm.models.load_state_dict_from_hf", offline)
    assert_refused(backbone, None, rf"timm/{TAG}.*OSError.*as {TAG}.safetensors.*{FOLDER_VARIABLE}")


def test_hub_is_asked_for_the_pinned_tag(monkeypatch, checkpoint, backbone):
    asked = []
    monkeypatch.setattr(
        "timm.models.load_state_dict_from_hf", lambda address, **kwargs: asked.append((address, kwargs)) or checkpoint
    )
    assert load_weights(backbone, TAG).source == f"timm/{TAG}"
    assert asked == [(f"timm/{TAG}", {"weights_only": True})]


def test_a_tag_with_a_slash_is_a_repository_of_the_hub(monkeypatch, checkpoint, backbone):
    monkeypatch.setattr(
        "timm.models.load_state_dict_from_hf", lambda address, **_: {"somebody/net": checkpoint}[address]
    )
    assert load_weights(backbone, "somebody/net").source == "somebody/net"


def test_a_tag_with_a_slash_lies_in_a_sub_folder(tmp_path, checkpoint, backbone):
    with pytest.raises(DataError, match=r"neither somebody/net.safetensors nor somebody/net.pth is there"):
        load_weights(backbone, "somebody/net", tmp_path)
    (tmp_path / "somebody").mkdir()
    save_file(checkpoint, tmp_path / "somebody" / "net.safetensors")
    assert load_weights(backbone, "somebody/net", tmp_path).matched == len(checkpoint)


def test_build_model_loads_what_the_spec_pins(tmp_path, monkeypatch):
    (tag,) = HRNET18.weights
    saved = HRNET18.build().state_dict()
    save_file(saved, tmp_path / f"{tag}.safetensors")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    model = build_model(ModelSpec("stl", "hrnet18", ("depth",), weights=tag), {"depth": 1})
    assert model.backbone.weights_report.matched == len(saved)
    assert torch.equal(model.backbone.conv1.weight, saved["conv1.weight"])
    assert build_model(ModelSpec("stl", "hrnet18", ("depth",)), {"depth": 1}).backbone.weights_report is None


def test_a_tag_of_another_backbone_is_refused():
    with pytest.raises(
        SpecError, match=r"weights tag of backbone hrnet18 'hrnet_w18_small_v2.gluon_in1k'. Did you mean"
    ):
        build_model(ModelSpec("stl", "hrnet18", ("depth",), weights="hrnet_w18_small_v2.gluon_in1k"), {"depth": 1})


@pytest.mark.parametrize("name", ["head.weight", "head.bias"])
def test_the_head_of_a_transformer_is_none_of_a_convolutional_network(tmp_path, checkpoint, backbone, name):
    save_file({**checkpoint, name: torch.zeros(3)}, tmp_path / f"{TAG}.safetensors")
    assert_refused(backbone, tmp_path, f"{name}: no such tensor in the backbone")


@pytest.fixture(scope="module")
def transformer_checkpoint():
    """What timm saves of a classifier of 64x64 pixels, which has 8x8 patches."""
    torch.manual_seed(7)
    return VisionTransformer(img_size=64, patch_size=8, num_classes=5, embed_dim=96, depth=4, num_heads=3).state_dict()


@pytest.fixture
def transformer():
    torch.manual_seed(8)
    return VIT_NANO.build(size=(64, 96))


def test_a_transformer_takes_resized_positions_and_no_head(tmp_path, transformer_checkpoint, transformer):
    save_file(transformer_checkpoint, tmp_path / f"{TAG}.safetensors")
    report = load_weights(transformer, TAG, tmp_path)
    assert (report.matched, report.dropped, report.defaulted) == (len(transformer_checkpoint) - 2, 2, 0)
    loaded = transformer.state_dict()
    positions = loaded.pop("pos_embed")
    assert positions.shape == (1, 1 + 8 * 12, 96)
    assert torch.equal(positions, resize_positions(transformer_checkpoint["pos_embed"], (8, 12)))
    assert all(torch.equal(value, transformer_checkpoint[name]) for name, value in loaded.items())


def test_positions_of_the_networks_own_grid_are_taken_as_they_are(tmp_path, transformer):
    saved = VIT_NANO.build(size=(64, 96)).state_dict()
    save_file(saved, tmp_path / f"{TAG}.safetensors")
    load_weights(transformer, TAG, tmp_path)
    assert torch.equal(transformer.pos_embed, saved["pos_embed"])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"pos_embed": torch.zeros(1, 1 + 63, 96)}, r"pos_embed: shape \(1, 64, 96\), expected \(1, 97, 96\)"),
        ({"pos_embed": torch.zeros(1, 1, 96)}, r"pos_embed: shape \(1, 1, 96\), expected \(1, 97, 96\)"),
        ({"pos_embed": torch.zeros(65, 96)}, r"pos_embed: shape \(65, 96\), expected \(1, 97, 96\)"),
        ({"pos_embed": torch.full((1, 65, 96), torch.nan)}, "pos_embed: values are not finite"),
        ({"pos_embed": torch.zeros(1, 65, 48)}, r"pos_embed: shape \(1, 97, 48\), expected \(1, 97, 96\)"),
        ({"pos_embed": None}, "pos_embed: tensor is missing"),
        ({"head_dist.weight": torch.zeros(2)}, "head_dist.weight: no such tensor in the backbone"),
        ({"fc.weight": torch.zeros(2)}, "fc.weight: no such tensor in the backbone"),
        ({"norm.weight": torch.zeros(2)}, r"norm.weight: shape \(2,\), expected \(96,\)"),
    ],
)
def test_a_transformers_checkpoint_that_does_not_fit_is_refused(
    tmp_path, transformer_checkpoint, transformer, change, match
):
    changed = {name: value for name, value in {**transformer_checkpoint, **change}.items() if value is not None}
    save_file(changed, tmp_path / f"{TAG}.safetensors")
    assert_refused(transformer, tmp_path, match)


def test_build_model_loads_a_transformer_at_the_size_of_the_images(tmp_path, monkeypatch, transformer_checkpoint):
    monkeypatch.setattr("mtlrepro.models.vit.VIT_NANO", dataclasses.replace(VIT_NANO, weights=(TAG,)))
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    save_file(transformer_checkpoint, tmp_path / f"{TAG}.safetensors")
    spec = ModelSpec("invpt", "vit_nano", ("depth",), weights=TAG, options=options(width=12, prediction_width=4))
    model = build_model(spec, {"depth": 1}, (32, 96))
    assert model.backbone.weights_report.dropped == 2
    assert torch.equal(model.backbone.pos_embed, resize_positions(transformer_checkpoint["pos_embed"], (4, 12)))
