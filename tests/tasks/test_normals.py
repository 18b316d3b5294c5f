"""Normals: mirrored labels to the bit, and without a word to the device."""

from __future__ import annotations

import pytest
import torch

from mtlrepro.data.sample import DatasetInfo
from mtlrepro.tasks.normals import Normals

TASK = Normals(DatasetInfo("toy", ("normals",)))


def test_mirrored_labels_keep_their_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sign of every zero, too: x of an invalid pixel becomes -0."""
    label = torch.nn.functional.normalize(torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0)), dim=0)
    label[:, 1:3, 2:4], label[:, 4, 5] = 0.0, -0.0
    expected = label.flip(-1) * torch.tensor([-1.0, 1.0, 1.0]).view(3, 1, 1)

    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("made on the host and copied to the device: a GPU is waited for")

    monkeypatch.setattr(torch, "tensor", refuse)
    mirrored = TASK.flip(label)
    assert torch.equal(mirrored.view(torch.int32), expected.view(torch.int32))
    assert torch.equal(TASK.flip(mirrored).view(torch.int32), label.view(torch.int32))
