"""A batch of video on the plane of `plane_world`, and networks for it."""

import plane_world
import torch
from torch import nn
from torch.nn import functional as F

from mtlrepro.data.sample import Batch, DatasetInfo
from mtlrepro.data.warp import inverse_motion
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives.self_supervised import SelfSupervised
from mtlrepro.tasks import make_tasks

INFO = DatasetInfo("toy", ("semseg", "depth"), class_names=("near", "far", "sky"))
STAGES = (1, 2, 3)


def make(info=INFO, names=("semseg", "depth"), weights=None, **options):
    tasks = make_tasks(names, info, losses=(("depth", "disparity"),))
    torch.manual_seed(0)
    return SelfSupervised(tasks, {name: 1.0 for name in names} | (weights or {}), pose="resnet18_nano", **options)


def sigma_of(depth):
    """The disparity of a depth in metres, nearest 0.1 m and farthest 100 m."""
    return (1 / depth - 0.01) / 9.99


class Given(nn.Module):
    """Predicts what it is given, whatever the image."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, image):
        return self.outputs


class Driver(nn.Module):
    """A pose network that knows how the camera moves: from each frame to the next by the motion it is given."""

    def __init__(self, motion):
        super().__init__()
        self.motion, self.asked = motion, []

    def forward(self, first, second):
        self.asked.append((first, second))
        return self.motion


def world(size=plane_world.SIZE, samples=1):
    """A batch on the plane, and its true depth. The frame before is such that one motion leads on twice."""
    image, depth, _ = plane_world.frames(size)
    move = plane_world.motion()
    before, after = (plane_world.draw(m, size)[0] for m in (inverse_motion(move), move))
    found = Batch(
        ((image - 0.45) / 0.225).float().expand(samples, -1, -1, -1),
        {"semseg": torch.randint(0, 3, (samples, *size), generator=torch.Generator().manual_seed(0))},
        geometry={
            "frames": torch.stack([before, after], 1).float().expand(samples, -1, -1, -1, -1),
            "intrinsics": plane_world.camera(size).float().expand(samples, -1, -1),
        },
        normalise="centred",
    )
    return found, depth.float().expand(samples, -1, -1, -1)


def predicted(disparity, semseg=True):
    """Outputs with a disparity at stages 0 to 3 and classes at stages 0 and 2."""
    samples, _, height, width = disparity.shape
    generator = torch.Generator().manual_seed(1)
    shapes = {s: (-(-height // 2**s), -(-width // 2**s)) for s in range(4)}
    maps = {s: F.interpolate(disparity, shapes[s], mode="bilinear", align_corners=False) for s in STAGES}
    stages = {f"stage{s}": {"depth": d} for s, d in maps.items()}
    final = {"depth": disparity}
    if semseg:
        final["semseg"] = torch.randn(samples, 3, height, width, generator=generator)
        stages["stage2"]["semseg"] = torch.randn(samples, 3, *shapes[2], generator=generator)
    return Outputs(final, stages)


def knowing(objective):
    objective.pose = Driver(plane_world.motion(dtype=torch.float32))
    return objective


def noise(size=(48, 64), samples=1):
    return torch.rand(samples, 1, *size, generator=torch.Generator().manual_seed(2)) * 0.8 + 0.1


class Tiny(nn.Module):
    """Disparities at four stages and classes at two, of three convolutions."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        )
        self.disparity, self.semseg = nn.Conv2d(8, 1, 3, padding=1), nn.Conv2d(8, 3, 1)

    def forward(self, image):
        features = self.backbone(image)
        shapes = {s: [-(-n // 2**s) for n in image.shape[-2:]] for s in range(4)}
        maps = {s: F.adaptive_avg_pool2d(features, shape) for s, shape in shapes.items()}
        stages = {f"stage{s}": {"depth": self.disparity(maps[s]).sigmoid()} for s in STAGES}
        stages["stage2"]["semseg"] = self.semseg(maps[2])
        final = {"depth": self.disparity(features).sigmoid(), "semseg": self.semseg(features)}
        return Outputs(final, stages, [features, maps[3]])


class Stages(nn.Module):
    """A backbone that returns a list of maps."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, image):
        return [self.net(image)]
