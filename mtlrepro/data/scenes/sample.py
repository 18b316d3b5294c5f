"""One rendered view with all its labels."""

from __future__ import annotations

import numpy as np
import torch

from mtlrepro.data.sample import Sample
from mtlrepro.data.scenes import labels
from mtlrepro.data.scenes.camera import intrinsics
from mtlrepro.data.scenes.render import shade, trace
from mtlrepro.data.scenes.scene import Scene


def render(
    scene: Scene,
    height: int,
    width: int,
    device: torch.device | str = "cpu",
    view: int = 0,
    classes: int = 40,
    seed: int = 0,
) -> Sample:
    """Render one view of a scene.

    Args:
        scene: from `mtlrepro.data.scenes.rooms.layout`.
        height: pixels.
        width: pixels.
        device: where to compute and where the result lies.
        view: camera of the scene.
        classes: 40 or 13, the NYUv2 label set.
        seed: of the sensor noise.

    Returns:
        image (3, H, W) uint8; semseg (H, W) uint8; instances (H, W) int32; depth (H, W) float32 metres with
        holes 0, depth_dense without; normals (3, H, W) float32; edges, saliency, parts (H, W) uint8;
        intrinsics (3, 3) and pose (4, 4, camera-to-world) float32.
    """
    device = torch.device(device)
    pose = scene.cameras[view]
    noise = np.random.Generator(np.random.PCG64([seed, view, height, width]))
    surface = trace(scene, pose, height, width, device)
    grain = torch.from_numpy(noise.standard_normal((3, height, width), dtype=np.float32)).to(device)
    ids = labels.semseg(scene, surface, classes)
    instance = labels.instances(scene, surface)
    missing = labels.holes(scene, surface, noise)
    return {
        "image": shade(scene, surface, grain),
        "semseg": ids,
        "instances": instance,
        "depth": surface.depth.masked_fill(missing, 0.0),
        "depth_dense": surface.depth,
        "normals": labels.normals(surface, pose),
        "edges": labels.edges(ids),
        "saliency": labels.saliency(scene, instance),
        "parts": labels.parts(scene, surface),
        "intrinsics": torch.from_numpy(intrinsics(scene.lens, height, width)).float().to(device),
        "pose": torch.from_numpy(pose).float().to(device),
    }
