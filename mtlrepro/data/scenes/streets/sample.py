"""One rendered street with its labels."""

from __future__ import annotations

import numpy as np
import torch

from mtlrepro.data.sample import Sample
from mtlrepro.data.scenes.camera import intrinsics
from mtlrepro.data.scenes.render import shade, trace
from mtlrepro.data.scenes.scene import Scene
from mtlrepro.data.scenes.streets import labels


def render(scene: Scene, height: int, width: int, device: torch.device | str = "cpu", seed: int = 0) -> Sample:
    """Render a street.

    Args:
        scene: from `mtlrepro.data.scenes.streets.layout.layout`.
        height: pixels.
        width: pixels.
        device: where to compute and where the result lies.
        seed: of the sensor noise.

    Returns:
        image (3, H, W) uint8; semseg (H, W) uint8; depth (H, W) float32 inverse depth with holes 0; normals
        (3, H, W) float32, zero in the sky; intrinsics (3, 3) and pose (4, 4, camera-to-world) float32.
    """
    device = torch.device(device)
    pose = scene.cameras[0]
    noise = np.random.Generator(np.random.PCG64([seed, height, width]))
    surface = trace(scene, pose, height, width, device)
    grain = torch.from_numpy(noise.standard_normal((3, height, width), dtype=np.float32)).to(device)
    ids = labels.semseg(scene, surface)
    return {
        "image": shade(scene, surface, grain),
        "semseg": ids,
        "depth": labels.inverse_depth(scene, surface, ids, noise),
        "normals": labels.normals(surface, pose, ids),
        "intrinsics": torch.from_numpy(intrinsics(scene.lens, height, width)).float().to(device),
        "pose": torch.from_numpy(pose).float().to(device),
    }
