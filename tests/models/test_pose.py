"""The pose network: published size, what its outputs mean, loading of one-frame weights."""

import math

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mtlrepro.data.warp import inverse_motion
from mtlrepro.errors import DataError, SpecError
from mtlrepro.models.pose import POSES, PoseConfig, PoseNetwork
from mtlrepro.models.weights import FOLDER_VARIABLE

TAG = "resnet18.tv_in1k"


def test_published_size():
    network = PoseNetwork(POSES["resnet18"])
    assert sum(p.numel() for p in network.encoder.parameters()) == 11_185_920
    assert sum(p.numel() for p in network.decoder.parameters()) == 1_314_572


@pytest.mark.parametrize("size", [(64, 96), (37, 51)])
def test_a_small_rigid_motion_of_any_size_of_picture(size):
    torch.manual_seed(0)
    network = PoseNetwork(POSES["resnet18_nano"])
    first, second = torch.rand(2, 3, 3, *size).unbind(0)
    motion = network(first, second)
    assert motion.shape == (3, 4, 4)
    torch.testing.assert_close(motion @ inverse_motion(motion), torch.eye(4).expand(3, 4, 4), rtol=0, atol=1e-6)
    assert 0 < (motion - torch.eye(4)).abs().max() < 0.1
    assert not torch.allclose(network(second, first), motion, rtol=0, atol=1e-6)


def test_the_last_layer_says_rotation_translation_and_six_numbers_that_do_not_count():
    network = PoseNetwork(POSES["resnet18_nano"])
    last = network.decoder[-1]
    nn.init.zeros_(last.weight)
    with torch.no_grad():
        last.bias.copy_(100 * torch.tensor([math.pi / 2, 0, 0, 1, 2, 3, 7, 7, 7, 7, 7, 7]))
    (motion,) = network(*torch.rand(2, 1, 3, 64, 64))
    want = torch.tensor([[1.0, 0, 0, 1], [0, 0, -1, 2], [0, 1, 0, 3], [0, 0, 0, 1]])
    torch.testing.assert_close(motion, want, rtol=0, atol=1e-5)


def test_weights_of_one_frame_serve_two(tmp_path, monkeypatch):
    config = PoseConfig(POSES["resnet18_nano"].parameters, (1, 1, 1, 1), (8, 12, 16, 24), 32, weights=(TAG,))
    torch.manual_seed(0)
    network = PoseNetwork(config)
    tensors = {k: torch.randn(v.shape) for k, v in network.encoder.state_dict().items() if v.is_floating_point()}
    tensors["conv1.weight"] = torch.randn(64, 3, 7, 7)
    save_file(tensors | {"fc.weight": torch.zeros(10, 24), "fc.bias": torch.zeros(10)}, tmp_path / f"{TAG}.safetensors")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert network.load(TAG).dropped == 2
    assert network.weights_report.tag == TAG
    got = network.encoder.state_dict()
    assert torch.equal(got["conv1.weight"][:, :3], tensors["conv1.weight"] / 2)
    assert torch.equal(got["conv1.weight"][:, 3:], tensors["conv1.weight"] / 2)
    assert all(torch.equal(got[k], v) for k, v in tensors.items() if k != "conv1.weight")


def test_published_weights_have_the_names_and_shapes_of_timm():
    import timm

    with torch.device("meta"):
        ours = PoseNetwork(POSES["resnet18"]).encoder.state_dict()
        theirs = timm.create_model("resnet18", pretrained=False, num_classes=0).state_dict()
    assert ours.keys() == theirs.keys()
    assert {k for k in ours if ours[k].shape != theirs[k].shape} == {"conv1.weight"}
    assert POSES["resnet18"].weights == (TAG,)


def test_what_does_not_fit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    network = PoseNetwork(POSES["resnet18_nano"])
    with pytest.raises(SpecError, match=r"pose_weights: unknown weights tag of the pose network 'resnet18.tv_in1k'"):
        network.load(TAG)
    before = network.state_dict()["encoder.conv1.weight"].clone()
    network.config = PoseConfig(0, (1, 1, 1, 1), (8, 12, 16, 24), 32, weights=(TAG,))
    with pytest.raises(DataError, match=TAG):
        network.load(TAG)
    assert torch.equal(network.state_dict()["encoder.conv1.weight"], before)
    with pytest.raises(SpecError, match="12,500,492 parameters, expected 1"):
        PoseNetwork(PoseConfig(parameters=1))
