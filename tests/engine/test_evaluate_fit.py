"""Evaluation of padded and of whole images: metrics at native resolution, and nothing of the padding in them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mtlrepro.data.loader import eval_samples
from mtlrepro.data.sample import DatasetInfo, Sample
from mtlrepro.data.transforms.fit import FITS
from mtlrepro.engine.evaluate import Gallery, evaluate, figures
from mtlrepro.engine.run import Machine, execute
from mtlrepro.errors import DataError
from mtlrepro.models.outputs import Outputs
from mtlrepro.spec import DataSpec, RunSpec
from mtlrepro.tasks import make_tasks

CPU = torch.device("cpu")
TWO = ("semseg", "depth")
INFO = DatasetInfo("fake", TWO, ("a", "b", "c"))
TASKS = make_tasks(TWO, INFO)


class Painted:
    """Images of several sizes whose colours are the labels: red is the class, green the depth."""

    info = INFO

    def __init__(self, *sizes: tuple[int, int]):
        self.sizes = sizes

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> Sample:
        generator = torch.Generator().manual_seed(index)
        size = self.sizes[index]
        classes = torch.randint(0, 3, size, dtype=torch.uint8, generator=generator)
        depth = torch.randint(1, 200, size, dtype=torch.uint8, generator=generator)
        image = torch.stack([classes * 100, depth, depth])
        return {"image": image, "semseg": classes, "depth": depth.float() / 20}

    def digest(self) -> str:
        return ""


class Reads(nn.Module):
    """Reads the labels from the colours. Where it sees padding, exactly 0, it is as wrong as can be."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, image: Tensor) -> Outputs:
        self.seen.append(image)
        red = image[:, 0] * 0.229 + 0.485
        green = image[:, 1:2] * 0.224 + 0.456
        blank = (image == 0).all(1, keepdim=True)
        ids = (red * 255 / 100).round().long().clamp(0, 2)
        logits = nn.functional.one_hot(ids, 3).movedim(-1, 1).float()
        depth = torch.where(blank, 1e6, green * 255 / 20)
        return Outputs({"semseg": 50 * logits, "depth": depth})


def test_padding_is_exactly_0_and_out_of_every_metric(tmp_path: Path) -> None:
    dataset, model = Painted((20, 30), (25, 31), (32, 32)), Reads()
    samples = eval_samples(dataset, (32, 32), "pad")
    got = figures(evaluate(model, TASKS, samples, device=CPU, fit="pad", gallery=Gallery(tmp_path, indices=(0,))))
    assert got["final.semseg.miou/dataset@1.miou"] == 1
    assert all(value < 1e-5 for name, value in got.items() if name.endswith(".rmse"))
    assert sum(name.endswith(".rmse") for name in got) > 2
    (batch,) = model.seen
    assert [int((image == 0).all(0).sum()) for image in batch[:3]] == [32 * 32 - 600, 32 * 32 - 775, 0]
    assert (tmp_path / "0_final_depth.png").exists()


def test_images_that_are_kept_go_in_whole() -> None:
    model = Reads()
    got = figures(evaluate(model, TASKS, eval_samples(Painted((16, 48)), (16, 16), "keep"), device=CPU, fit="keep"))
    assert model.seen[0].shape[-2:] == (16, 48)
    assert got["final.semseg.miou/dataset@1.miou"] == 1
    mixed = eval_samples(Painted((16, 48), (16, 32)), (16, 16), "keep")
    with pytest.raises(DataError, match=r"evaluation samples from 0: image: images of 16×32 and 16×48"):
        evaluate(model, TASKS, mixed, device=CPU, fit="keep")


def test_without_a_fit_images_are_resized() -> None:
    for name in ("resize", "cubic"):
        images = [image for image, _ in eval_samples(Painted((20, 30), (9, 40)), (32, 32), name)]
        assert [tuple(image.shape) for image in images] == [(3, 32, 32)] * 2
        assert torch.equal(images[0], FITS[name].image(Painted((20, 30))[0]["image"], (32, 32)))
    plain = [image for image, _ in eval_samples(Painted((20, 30)), (32, 32))]
    assert torch.equal(plain[0], FITS["resize"].image(Painted((20, 30))[0]["image"], (32, 32)))


@pytest.mark.parametrize("name", ["flip_rotate", "scale_flip_distort", "distort", "flip_cut"])
def test_a_run_trains_and_is_evaluated_on_native_samples(tiny_spec: RunSpec, tmp_path: Path, name: str) -> None:
    """32×32 pictures on a canvas of 64×64, or rotated and resized to 64×64; or scenes of 64×64 cut to 32×32."""
    data = replace(tiny_spec.data, augment=name, size=(64, 64))
    if name == "flip_cut":
        data = DataSpec("scenes", (32, 32), name, train=8, val=2, options=(("size", (64, 64)),))
    recipe = replace(tiny_spec.recipe, epochs=1)
    record = execute(replace(tiny_spec, data=data, recipe=recipe), 0, tmp_path, Machine())
    # A class that no scene shows makes its IoU and the strict mean undefined.
    assert all(value == value for key, value in record["metrics"].items() if not re.search("strict|iou_", key))
