"""Self-supervised depth: what the objective makes of the photometric loss, its pose network, its camera, its errors."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F
from video_world import INFO, Driver, Given, Tiny, knowing, make, noise, predicted, sigma_of, world

from mtlrepro.data.sample import Batch, DatasetInfo, normalise
from mtlrepro.data.surface import CAMERAS
from mtlrepro.data.warp import back_project, inverse_motion, warp
from mtlrepro.errors import SpecError
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives.multi_scale import MultiScale
from mtlrepro.objectives.photometric import photometric_error, smoothness, without_ties
from mtlrepro.objectives.self_supervised import SelfSupervised
from mtlrepro.tasks import make_tasks


def test_truth_has_next_to_no_photometric_loss_and_is_not_masked():
    batch, depth = world()
    objective = knowing(make())
    truth = objective(Given(predicted(sigma_of(depth))), batch, 0.0).terms
    assert truth["photometric/depth"] < 2e-3
    assert truth["automask/depth"] > 0.99
    for factor in (0.5, 0.8, 1.3, 3.0):
        wrong = objective(Given(predicted(sigma_of(factor * depth))), batch, 0.0).terms
        assert wrong["photometric/depth"] > 2 * truth["photometric/depth"]
    objective.pose.motion = inverse_motion(objective.pose.motion)
    backwards = objective(Given(predicted(sigma_of(depth))), batch, 0.0).terms
    assert backwards["photometric/depth"] > 20 * truth["photometric/depth"]
    assert backwards["automask/depth"] < 0.5


def test_the_pose_network_sees_time_run_forwards_and_the_first_motion_is_turned_round():
    batch, _ = world()
    objective = knowing(make())
    footage = objective.footage(batch)
    before, after = batch.geometry["frames"].unbind(1)
    image = batch.image * 0.225 + 0.45
    (first, second), (third, fourth) = objective.pose.asked
    for got, want in ((first, before), (second, image), (third, image), (fourth, after)):
        torch.testing.assert_close(got, want)
    torch.testing.assert_close(footage.motions[0] @ footage.motions[1], torch.eye(4)[None], rtol=0, atol=1e-6)
    assert torch.equal(footage.motions[1], objective.pose.motion)


def test_every_stage_counts_the_same_and_smoothness_by_its_resolution():
    batch, _ = world()
    objective = knowing(make(weights={"depth": 3.0, "semseg": 2.0}))
    outputs = predicted(noise())
    torch.manual_seed(5)
    losses = objective(Given(outputs), batch, 0.0)
    torch.manual_seed(5)
    footage = objective.footage(batch)
    image, total, parts = batch.image * 0.225 + 0.45, 0.0, []
    for s in range(4):
        sigma = outputs.stages[f"stage{s}"]["depth"] if s else outputs.final["depth"]
        metres = 1 / (0.01 + 9.99 * F.interpolate(sigma, (48, 64), mode="bilinear", align_corners=False))
        points = back_project(metres, batch.geometry["intrinsics"])
        seen = [
            photometric_error(warp(frame, points, footage.camera, m), image)
            for frame, m in zip(footage.frames.unbind(1), footage.motions, strict=True)
        ]
        least = torch.cat([*seen, without_ties(footage.still)], 1).amin(1).mean()
        smooth = smoothness(sigma, F.avg_pool2d(image, 2**s) if s else image)
        parts.append((least, smooth))
        name = f"stage{s}/depth" if s else "final/depth"
        assert losses.terms[name].item() == pytest.approx((least + 1e-3 / 2**s * smooth).item(), rel=1e-5)
        total += losses.terms[name] / 4
    for i, name in enumerate(("photometric", "smoothness")):
        assert losses.terms[f"{name}/depth"].item() == pytest.approx(sum(p[i] for p in parts).item() / 4, rel=1e-5)
    alone = Outputs({"semseg": outputs.final["semseg"]}, {"stage2": {"semseg": outputs.stages["stage2"]["semseg"]}})
    supervised = {"semseg": objective.tasks["semseg"]}
    rest = MultiScale(supervised, objective.weights)(Given(alone), batch, 0.0)
    assert losses.total.item() == pytest.approx((3 * total + rest.total).item(), rel=1e-5)
    assert rest.terms.items() <= losses.terms.items()
    assert set(losses.terms) - set(rest.terms) == {
        *(f"{stage}/depth" for stage in ("final", "stage1", "stage2", "stage3")),
        *(f"{name}/depth" for name in ("photometric", "smoothness", "automask")),
    }


def test_a_network_of_depth_alone_and_of_one_stage_alone():
    batch, depth = world()
    batch.targets = {}
    objective = knowing(make(names=("depth",)))
    losses = objective(Given(Outputs({"depth": sigma_of(depth)})), batch, 0.0)
    assert losses.total.item() == pytest.approx(losses.terms["final/depth"].item())


def test_frames_of_bytes_are_those_of_numbers():
    batch, depth = world()
    objective = knowing(make())
    bytes_ = (batch.geometry["frames"] * 255).round().byte()
    found = []
    for frames in (bytes_, bytes_.float() / 255):
        batch.geometry["frames"] = frames
        torch.manual_seed(0)
        found.append(objective(Given(predicted(sigma_of(depth))), batch, 0.0).total)
    assert torch.equal(*found)


def test_the_camera_is_the_true_one_unless_normals_have_another():
    """A mirrored 512x512 crop, 100 pixels from the left, of a picture of Cityscapes at half its size."""
    full = torch.tensor([[2262.52, 0, 1097.48], [0, 2265.3018, 513.637], [0, 0, 1]])
    placement = torch.tensor([[-0.5, 0, 924], [0, 0.5, 0], [0, 0, 1]])
    intrinsics = placement @ full @ torch.diag(torch.tensor([-1.0, 1, 1]))
    geometry = {"intrinsics": intrinsics[None], "placement": placement[None]}
    batch = Batch(torch.zeros(1, 3, 512, 512), {}, geometry=geometry)
    found = {
        rule: make(DatasetInfo("toy", ("semseg", "depth"), ("a", "b"), surface=rule, full_size=(1024, 2048))).camera(
            batch
        )
        for rule in ("", *CAMERAS)
    }
    assert torch.equal(found[""], intrinsics[None])
    assert torch.equal(found["metric"], intrinsics[None])
    released = found["released"][0]
    assert released[0, 0].item() == pytest.approx(2262.52)
    assert [released[i, 2].item() - 0.5 for i in (0, 1)] == pytest.approx([851.02, 510.863], abs=1e-3)


def train(steps, size=(32, 48)):
    batch, _ = world(size, samples=2)
    batch.geometry["frames"] = batch.geometry["frames"] + 0  # of its own memory
    objective = make(pose_lr_factor=0.5)
    model = Tiny()
    (group,) = objective.groups()
    sets = [{"params": list(model.parameters())}, {"params": list(group.parameters), "lr": 3e-3 * group.lr_factor}]
    optimizer = torch.optim.Adam(sets, lr=3e-3)
    found = []
    for step in range(steps):
        torch.manual_seed(step)
        losses = objective(model, batch, 0.0)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        found.append(losses)
    return found, objective, model


def test_a_few_steps_lower_the_loss_and_everything_learns():
    found, objective, model = train(40)
    first, last = (found[i].terms for i in (0, -1))
    assert last["photometric/depth"] < 0.8 * first["photometric/depth"]
    assert last["final/semseg"] < first["final/semseg"]
    assert last["automask/depth"] > 0.5
    unused = objective.pose.decoder[-1].weight.grad[6:]
    assert not unused.any()
    assert all(p.grad.abs().sum() > 0 for net in (objective.pose, model) for p in net.parameters())


def test_the_same_seed_gives_the_same_bits():
    one, two = (train(3) for _ in range(2))
    assert all(torch.equal(a.total, b.total) for a, b in zip(one[0], two[0], strict=True))
    for a, b in zip(one[1].parameters(), two[1].parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("size", [(37, 51), (33, 40), (32, 32)])
def test_any_size_and_stages_that_do_not_divide_it(size):
    found, _, _ = train(1, size)
    assert torch.isfinite(found[0].total)


def test_a_sample_at_a_time_or_both_at_once():
    """With a motion that is given nothing couples the samples but the mean over them."""
    one, depth = world()
    two = replace(one, image=one.image.flip(-1))
    both = Batch(
        torch.cat([one.image, two.image]),
        {"semseg": torch.cat([one.targets["semseg"]] * 2)},
        geometry={k: torch.cat([v, two.geometry[k]]) for k, v in one.geometry.items()},
        normalise=one.normalise,
    )
    objective = knowing(make(names=("depth",)))
    single = [objective(Given(predicted(sigma_of(depth), False)), b, 0.0).total for b in (one, two)]
    objective.pose.motion = objective.pose.motion.expand(2, -1, -1)
    together = objective(Given(predicted(sigma_of(depth).expand(2, -1, -1, -1), False)), both, 0.0).total
    assert together.item() == pytest.approx((sum(single) / 2).item(), abs=2e-6)  # the noise differs


def test_half_precision_disparities_give_a_float32_total():
    batch, depth = world()
    objective = knowing(make(names=("depth",)))
    half = Outputs({"depth": sigma_of(depth).bfloat16().requires_grad_()})
    losses = objective(Given(half), batch, 0.0)
    losses.total.backward()
    assert losses.total.dtype == torch.float32
    assert half.final["depth"].grad.isfinite().all()


# what is wrong


@pytest.mark.parametrize("key", ["frames", "intrinsics", "placement"])
def test_what_the_batch_lacks_is_named(key):
    batch, depth = world()
    info = replace(INFO, surface="released", full_size=(96, 128))
    batch.geometry["placement"] = torch.tensor([[[0.5, 0, 0], [0, 0.5, 0], [0, 0, 1]]])
    objective, model = knowing(make(info)), Given(predicted(sigma_of(depth)))
    objective(model, batch, 0.0)
    del batch.geometry[key]
    with pytest.raises(
        SpecError, match=f"{key}: depth is learnt from frames, and the batch has none of this"
    ) as caught:
        objective(model, batch, 0.0)
    assert caught.value.mend


def test_images_are_restored_by_what_was_done_to_them():
    batch, _ = world()
    other = replace(batch, image=normalise(batch.image * 0.225 + 0.45), normalise="imagenet")
    plain = replace(batch, image=batch.image * 0.225 + 0.45, normalise="none")
    pictures = [knowing(make()).footage(b).target for b in (batch, other, plain)]
    for picture in pictures[1:]:
        torch.testing.assert_close(picture, pictures[0], rtol=0, atol=1e-6)
    unknown = replace(batch, normalise="")
    with pytest.raises(SpecError, match=r"batch\.normalise: the batch does not say how its images are normalised"):
        make()(Tiny(), unknown, 0.0)
    with pytest.raises(SpecError, match="unknown normalisation 'centered'"):
        make()(Tiny(), replace(batch, normalise="centered"), 0.0)


def test_every_stage_has_noise_of_its_own():
    """Where nothing moves, each of the pictures' pixels is masked or not by noise alone."""
    batch, depth = world()
    batch.geometry["frames"] = (batch.image * 0.225 + 0.45)[:, None].expand(-1, 2, -1, -1, -1)
    objective = make()
    objective.pose = Driver(torch.eye(4)[None])
    footage, sigma = objective.footage(batch), sigma_of(depth)
    assert not footage.still.any()
    torch.manual_seed(0)
    one, two = (objective.compare(sigma, footage).photometric for _ in range(2))
    torch.manual_seed(0)
    assert torch.equal(objective.compare(sigma, footage).photometric, one)
    assert not torch.equal(one, two)


def test_frames_must_be_the_two_neighbours():
    batch, depth = world()
    batch.geometry["frames"] = batch.geometry["frames"][:, :1]
    with pytest.raises(SpecError, match=r"batch.geometry.frames: frames are \(1, 1, 3, 48, 64\)"):
        make()(Given(predicted(sigma_of(depth))), batch, 0.0)


def test_a_network_without_a_disparity_is_named():
    batch, depth = world()
    with pytest.raises(SpecError, match=r"final: the network gives no disparity\. .*`sigmoid`"):
        make()(Given(Outputs({"semseg": torch.zeros(1, 3, 48, 64)})), batch, 0.0)
    with pytest.raises(SpecError, match=r"final/depth: the network gives no disparity in \[0, 1\], but values from"):
        make()(Given(predicted(depth)), batch, 0.0)


def test_building_errors():
    with pytest.raises(SpecError, match=r"objective\.options\.pose: unknown pose network 'resnet81'"):
        SelfSupervised(make().tasks, {"depth": 1.0}, pose="resnet81")
    with pytest.raises(SpecError, match=r"objective.losses: depth is learnt from frames as a disparity.*'disparity'"):
        SelfSupervised(make_tasks(("semseg", "depth"), INFO), {"depth": 1.0})
    with pytest.raises(SpecError, match=r"objective\.losses: depth is learnt from frames"):
        SelfSupervised(make_tasks(("semseg",), INFO), {"semseg": 1.0})
    with pytest.raises(SpecError, match="pose_weights: unknown weights tag"):
        make(pose_weights="resnet18.a1_in1k")
    for bad in ({"feature_weight": -1}, {"pose_lr_factor": 0}):
        with pytest.raises(SpecError, match=f"objective.options.{next(iter(bad))}"):
            make(**bad)
