"""Video frames with poses: metres out of an arbitrary unit, pairs, and frames that cannot be trusted."""

import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from mtlrepro.data import LAYOUTS
from mtlrepro.data.disk.description import load
from mtlrepro.data.disk.marker import Marker, write_marker
from mtlrepro.data.disk.readers import colmap
from mtlrepro.data.disk.readers import nyuv2_video as reader
from mtlrepro.data.disk.readers.nyuv2_video import VideoPairs
from mtlrepro.data.disk.synthesize.nyuv2_video import VideoScenes, camera_path
from mtlrepro.errors import DataError, SpecError

SIZE = (48, 64)
N = 11
SCENES = ("room_0000_out", "room_0001_out")  # of 8 and 3 frames, and one more each that was not registered
UNREGISTERED = "frames that COLMAP has not registered"
UNTRUSTED = "frames whose depth disagrees with the reconstruction or is known at too few points"
TRANSLATION = 5e-4
"""Metres, of paths half a metre long: what steps of 39 mm in the depth maps leave of the scale's precision."""


def dataset(release, **options):
    return VideoPairs(LAYOUTS / "nyuv2_video.toml", "train", release.parent, **options)


def marked(release, n):
    write_marker(release, Marker("nyuv2_video", {"train": n}, SIZE, 0))
    return release


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("video") / "nyu_data"
    root.mkdir()
    assert len(list(VideoScenes(root, SIZE, 0).write("train", N))) == N
    return marked(root, N)


@pytest.fixture(scope="module")
def frames():
    """What was rendered: id -> whole frame."""
    paths = VideoScenes(None, SIZE, 0).paths("train", N)
    return {f"{scene}/{number}": frame for scene, found, _ in paths for number, frame in found.items()}


@pytest.fixture
def copy(written, tmp_path):
    return shutil.copytree(written, tmp_path / "nyu_data")


def refused(release, **options):
    with pytest.raises(DataError) as caught:
        _ = dataset(release, **options)[0]
    assert "\n" not in str(caught.value)
    assert caught.value.mend
    return caught.value


def lines(release, scene=SCENES[0], name="images.txt"):
    return (release / "colmap" / scene / name).read_text().splitlines()


def write(release, content, scene=SCENES[0], name="images.txt"):
    (release / "colmap" / scene / name).write_text("".join(f"{line}\n" for line in content if "# Number" not in line))


def partner_of(found, index):
    """The id of the frame that a sample is paired with, by its picture."""
    picture = found[index]["frames"][0]
    (name,) = [name for i, name in enumerate(found.ids) if torch.equal(found[i]["image"], picture)]
    return name


# --- what a sample is -----------------------------------------------------------------------------------------------


def test_frames_come_scene_by_scene_in_the_order_of_time(written):
    found = dataset(written)
    assert found.ids == [f"{SCENES[0]}/{i}" for i in range(1, 9)] + [f"{SCENES[1]}/{i}" for i in range(1, 4)]
    assert (written / f"data/nyu2_train/{SCENES[0]}/9.jpg").is_file()  # was not registered
    assert found.info.tasks == ("depth",)
    assert found.info.name == "nyuv2_video"


def test_a_whole_dataset_is_looked_over(written):
    assert VideoPairs.check(LAYOUTS / "nyuv2_video.toml", written.parent) == written


def test_image_and_depth_come_back_cut(written, frames):
    found = dataset(written)
    window = (slice(4, 46), slice(4, 60))  # 45/480, 40/640, 425/480 and 560/640 of 48 x 64, rounded down
    for i, name in enumerate(found.ids):
        sample, frame = found[i], frames[name]
        assert sample["image"].shape == (3, 42, 56)
        assert sample["image"].dtype == torch.uint8
        error = (sample["image"].int() - frame["image"][:, *window].int()).abs()
        assert error.float().mean() < 6  # JPEG
        depth = frame["depth"][window]
        assert torch.equal(sample["depth"] > 0, depth > 0)
        assert (sample["depth"] - depth).abs().max() <= 5 / 255 + 1e-6


def test_the_window_of_whole_frames():
    assert reader.kinect_window(480, 640) == (slice(45, 470), slice(40, 600))


def test_intrinsics_of_the_cut(written, frames):
    found = dataset(written)
    name = found.ids[3]
    whole, cut = frames[name]["intrinsics"], found[3]["intrinsics"]
    # The same ray passes the same thing: pixel (10, 20) of the cut is pixel (14, 24) of the whole frame.
    ray = torch.linalg.solve(cut, torch.tensor([10.5, 20.5, 1]))
    assert torch.allclose(whole @ ray, torch.tensor([14.5, 24.5, 1]), atol=1e-5)
    assert cut.dtype == torch.float32


def test_the_camera_that_users_are_told_to_give_is_the_kinects():
    """3D-aware, cross-view term: on the canvas of 448 x 576, padded by 11 above and 8 at the left."""
    commands = load(LAYOUTS / "nyuv2_video.toml").origin["get"]
    fx, fy, cx, cy = map(float, re.search(r"camera_params (\S+)", commands)[1].split(","))
    rows, columns = reader.kinect_window(480, 640)
    assert (fx, fy) == (518.857901, 519.469611)
    assert (cx - columns.start + 8, cy - rows.start + 11) == pytest.approx((293.0824, 219.2362))


def test_metric_motion_out_of_an_arbitrary_unit(written, frames):
    found = dataset(written)
    longest = 0.0
    for i, name in enumerate(found.ids):
        motion = found[i]["motion"][0].double()
        true = torch.linalg.inv(frames[partner_of(found, i)]["pose"].double()) @ frames[name]["pose"].double()
        assert (motion - true)[:3, 3].norm() < TRANSLATION
        assert (motion - true)[:3, :3].abs().max() < 1e-5
        longest = max(longest, float(true[:3, 3].norm()))
    assert longest > 0.2


def test_motion_carries_points_into_the_partners_frame(written):
    """With no other source than a sample: its depth, moved, is the partner's depth where both see the same surface."""
    sample = dataset(written)[8]
    k, depth = sample["intrinsics"].double(), sample["depth"].double()
    y, x = (depth > 0).nonzero().T
    rays = torch.linalg.inv(k) @ torch.stack([x + 0.5, y + 0.5, torch.ones_like(x)]).double()
    moved = sample["motion"][0].double()[:3] @ torch.cat([rays * depth[y, x], torch.ones(1, len(x))])
    pixel = (k @ moved / moved[2])[:2].floor().long()
    seen = (moved[2] > 0) & (pixel >= 0).all(0) & (pixel[0] < depth.shape[1]) & (pixel[1] < depth.shape[0])
    there = sample["frame_depth"][0].double()[pixel[1, seen], pixel[0, seen]]
    error = (there - moved[2, seen]).abs()[there > 0]
    assert len(error) > 0.5 * depth.numel()
    assert error.median() < 0.03


def test_scales_differ_from_scene_to_scene(written):
    scales = []
    for scene in SCENES:
        model = colmap.read(written / "colmap" / scene)
        ratios = []
        for picture in model.pictures:
            file = written / f"data/nyu2_train/{scene}/{int(picture[:5])}.png"
            ratios.append(reader.scale_ratios(model, picture, np.asarray(Image.open(file)) * (10 / 255)))
        scales.append(reader.metric_scale(ratios))
    assert abs(np.log(scales[0] / scales[1])) > 0.1


# --- pairs ----------------------------------------------------------------------------------------------------------


def test_the_partner_is_fixed_for_each_sample(written):
    one, two = dataset(written), dataset(written, length=4)
    for i in range(4):
        assert all(torch.equal(a, b) for a, b in zip(one[i].values(), two[i].values(), strict=True))
    partners = [partner_of(one, i) for i in range(N)]
    assert all(partner != name for partner, name in zip(partners, one.ids, strict=True))
    assert [partner.split("/")[0] for partner in partners] == [SCENES[0]] * 8 + [SCENES[1]] * 3
    assert len(set(partners)) > 3


def test_a_pair_holds_the_partners_own_image_and_depth(written):
    found = dataset(written)
    pair = found[0]
    assert list(pair) == ["image", "depth", "intrinsics", "frames", "frame_depth", "motion"]
    other = found[found.ids.index(partner_of(found, 0))]
    assert torch.equal(pair["frames"], other["image"][None])
    assert torch.equal(pair["frame_depth"], other["depth"][None])
    assert pair["motion"].shape == (1, 4, 4)


def test_every_gap_up_to_ten_is_as_likely():
    """3D-aware, cross-view term: the gap is uniform in 1 ... 10; both directions count."""
    posed = {number: f"scene/{number}" for number in range(1, 4001)}
    drawn = [int(reader.drawn_partner(n, posed).split("/")[1]) - n for n in range(101, 3901)]
    gaps, counts = np.unique(drawn, return_counts=True)
    assert gaps.tolist() == [*range(-10, 0), *range(1, 11)]
    assert ((counts - 190) ** 2 / 190).sum() < 43.8  # chi squared, 19 degrees of freedom, 0.1 %
    assert reader.drawn_partner(5, {5: "a/5", 15: "a/15", 16: "a/16"}) == "a/15"
    assert reader.drawn_partner(5, {5: "a/5", 16: "a/16"}) is None


def test_partners_are_at_most_ten_frames_away(copy):
    """Frames 1 ... 8 become 1, 11, 21 ...: neighbours are partners, all others are not."""
    folder = copy / "data/nyu2_train" / SCENES[0]
    content = lines(copy)
    for number in range(9, 1, -1):
        for end in ("jpg", "png"):
            (folder / f"{number}.{end}").rename(folder / f"{10 * number - 9}.{end}")
        content = [line.replace(f"{number:05d}.jpg", f"{10 * number - 9}.jpg") for line in content]
    write(copy, content)
    found = dataset(copy)
    assert found.ids[:3] == [f"{SCENES[0]}/{i}" for i in (1, 11, 21)]
    assert partner_of(found, 0) == f"{SCENES[0]}/11"
    assert partner_of(found, 1) in (f"{SCENES[0]}/1", f"{SCENES[0]}/21")


def test_the_files_of_a_short_split_are_those_of_its_partners_too(written):
    found = dataset(written, length=1)
    files, partner = found.files(), partner_of(dataset(written), 0)
    assert files[:2] == [f"data/nyu2_train/{SCENES[0]}/1.jpg", f"data/nyu2_train/{SCENES[0]}/1.png"]
    assert f"colmap/{SCENES[0]}/images.txt" in files
    assert files[-2:] == [f"data/nyu2_train/{partner}.jpg", f"data/nyu2_train/{partner}.png"]
    assert len(files) == len(set(files)) == 2 + 3 + 2


@pytest.mark.parametrize(
    ("constant", "value"),
    [("MAX_GAP", 9), ("MIN_POINTS", 40), ("MAX_SPREAD", 0.2), ("KINECT_WINDOW", (44, 40, 426, 560))],
)
def test_the_digest_covers_what_decides_about_frames(written, monkeypatch, constant, value):
    before = dataset(written).digest()
    monkeypatch.setattr(reader, constant, value)
    assert dataset(written).digest() != before


# --- what is left out -----------------------------------------------------------------------------------------------


def test_frames_with_few_points_are_left_out(copy):
    content = lines(copy)
    place = next(i for i, line in enumerate(content) if line.endswith(" 00003.jpg")) + 1
    content[place] = " ".join(content[place].split()[: 3 * (reader.MIN_POINTS - 1)])
    write(copy, content)
    marked(copy, N - 1)
    found = dataset(copy)
    assert f"{SCENES[0]}/3" not in found.ids
    assert f"data/nyu2_train/{SCENES[0]}/3.jpg" not in found.files()
    assert found.left_out == {UNREGISTERED: 2, UNTRUSTED: 1}


def test_frames_whose_depth_disagrees_are_left_out(copy):
    file = copy / f"data/nyu2_train/{SCENES[0]}/5.png"
    depth = np.asarray(Image.open(file)).astype(float)
    depth[:, ::3] *= 0.5
    depth[:, 1::3] *= 0.75  # the median; two thirds of the points are off it by a third
    Image.fromarray(depth.round().astype(np.uint8)).save(file)
    marked(copy, N - 1)
    assert f"{SCENES[0]}/5" not in dataset(copy).ids
    assert dataset(copy).left_out == {UNREGISTERED: 2, UNTRUSTED: 1}


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ([2.0] * 50, True),
        ([2.0] * 49, False),
        ([1.7] * 25 + [2.0] * 26 + [2.3] * 25, True),
        ([1.69] * 30 + [2.0] * 26 + [2.31] * 30, False),
        ([], False),
    ],
)
def test_which_frames_are_trusted(ratios, expected):
    assert reader.trusted(np.array(ratios)) is expected


def test_frames_without_a_partner_are_left_out(copy):
    write(copy, [line for line in lines(copy, SCENES[1]) if not line.startswith("#")][:2], SCENES[1])
    marked(copy, 8)
    found = dataset(copy)
    assert {name.split("/")[0] for name in found.ids} == {SCENES[0]}
    assert found.left_out == {UNREGISTERED: 1 + 3, "frames without another trusted pose within 10 frames": 1}


def test_a_scene_that_could_not_be_reconstructed(copy):
    shutil.rmtree(copy / "colmap" / SCENES[1])
    error = refused(copy)
    assert error.file == copy / "colmap" / SCENES[1]
    assert "data info nyuv2_video" in error.mend
    (copy / "colmap" / SCENES[1]).mkdir()
    marked(copy, 8)
    found = dataset(copy)
    assert len(found) == 8
    assert found.left_out == {f"frames of scenes without a reconstruction ({SCENES[1]})": 4, UNREGISTERED: 1}


def test_no_scene_was_reconstructed(copy):
    for scene in SCENES:
        shutil.rmtree(copy / "colmap" / scene)
        (copy / "colmap" / scene).mkdir()
    assert "no frame has both a trusted pose and a partner" in refused(copy).problem


# --- bad input ------------------------------------------------------------------------------------------------------


def test_a_truncated_list_of_images(copy):
    file = copy / "colmap" / SCENES[0] / "images.txt"
    text = file.read_text()
    file.write_text(text[: len(text) // 2])
    assert refused(copy).file == file


@pytest.mark.parametrize("name", colmap.FILES)
def test_a_file_of_the_reconstruction_is_missing(copy, name):
    (copy / "colmap" / SCENES[0] / name).unlink()
    assert refused(copy).file == copy / "colmap" / SCENES[0] / name


def test_depth_of_sixteen_bits(copy):
    file = copy / f"data/nyu2_train/{SCENES[0]}/2.png"
    Image.fromarray(np.full(SIZE, 2000, np.uint16)).save(file)
    error = refused(copy)
    assert (error.file, error.field) == (file, "depth")
    assert "16 bits" in error.problem


def test_images_of_the_reconstruction_that_are_no_frames(copy):
    write(copy, [line.replace("00004.jpg", "00040.jpg") for line in lines(copy)])
    assert "'00040.jpg' is no frame of this scene" in refused(copy).problem
    write(copy, [line.replace("00040.jpg", "left.jpg") for line in lines(copy)])
    assert "'left.jpg' is no frame" in refused(copy).problem


def test_a_reconstruction_of_pictures_of_another_size(copy):
    write(
        copy,
        [line.replace("PINHOLE 64 48", "PINHOLE 640 480") for line in lines(copy, name="cameras.txt")],
        name="cameras.txt",
    )
    assert "is of 480x640 images" in refused(copy).problem


def test_images_with_different_intrinsics(copy):
    cameras = lines(copy, name="cameras.txt")
    write(copy, [*cameras, "2 PINHOLE 64 48 50 50 32 24"], name="cameras.txt")
    dataset(copy)  # a camera that no image has does no harm
    write(copy, [line.replace("1 00004.jpg", "2 00004.jpg") for line in lines(copy)])
    error = refused(copy)
    assert error.file.name == "cameras.txt"
    assert "single_camera" in error.mend


def test_a_frame_that_is_not_named_by_number(copy):
    folder = copy / "data/nyu2_train" / SCENES[0]
    shutil.copy(folder / "1.jpg", folder / "first.jpg")
    assert "is not named <scene>/<number>" in refused(copy).problem


def test_a_truncated_image_of_the_partner(copy):
    file = copy / f"data/nyu2_train/{partner_of(dataset(copy), 0)}.jpg"
    file.write_bytes(file.read_bytes()[:200])
    assert refused(copy).file == file


# --- the cache, the writer ------------------------------------------------------------------------------------------


def test_poses_are_remembered_until_a_file_changes(copy, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    first = dataset(copy, cache=cache)
    read = []
    original = colmap.read
    monkeypatch.setattr(colmap, "read", lambda folder: read.append(folder.name) or original(folder))
    second = dataset(copy, cache=cache)
    assert read == []
    assert second.ids == first.ids
    assert all(torch.equal(a, b) for a, b in zip(first[9].values(), second[9].values(), strict=True))
    write(copy, lines(copy, SCENES[1]), SCENES[1])
    dataset(copy, cache=cache)
    assert read == [SCENES[1]]
    monkeypatch.setattr(reader, "MIN_POINTS", reader.MIN_POINTS - 1)
    dataset(copy, cache=cache)
    assert read == [SCENES[1], *SCENES]


def test_poses_are_found_anew_if_depth_has_another_unit(copy, tmp_path):
    cache = tmp_path / "cache"
    before = dataset(copy, cache=cache)[0]["motion"][0]
    description = tmp_path / "halved.toml"
    text = (LAYOUTS / "nyuv2_video.toml").read_text()
    description.write_text(text.replace("unit = 0.0392156862745098", "unit = 0.0196078431372549"))
    after = VideoPairs(description, "train", copy.parent, cache=cache)[0]["motion"][0]
    torch.testing.assert_close(after[:3, 3], before[:3, 3] / 2)


def test_the_first_reading_shows_its_progress(copy, monkeypatch, capsys):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    dataset(copy)
    assert "1/2 scenes: depth compared with the reconstruction" in capsys.readouterr().err


def test_what_was_found_before_an_error_is_remembered(copy, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    file = copy / "colmap" / SCENES[1] / "points3D.txt"
    text = file.read_text()
    file.write_text("")
    assert refused(copy, cache=cache).file == file
    file.write_text(text)
    read = []
    original = colmap.read
    monkeypatch.setattr(colmap, "read", lambda folder: read.append(folder.name) or original(folder))
    dataset(copy, cache=cache)
    assert read == [SCENES[1]]


def test_a_camera_path_passes_all_cameras():
    g = np.random.Generator(np.random.PCG64(0))
    cameras = np.tile(np.eye(4), (3, 1, 1))
    for camera in cameras:
        camera[:3, :3] = colmap.rotation(g.standard_normal(4))
        camera[:3, 3] = g.standard_normal(3)
    path = camera_path(cameras, 7)
    assert np.allclose(path[[0, 3, 6]], cameras, atol=1e-12)
    assert np.allclose(path[1, :3, 3], cameras[0, :3, 3] * 2 / 3 + cameras[1, :3, 3] / 3)
    assert np.allclose(path[:, :3, :3] @ path[:, :3, :3].transpose(0, 2, 1), np.eye(3))


@pytest.mark.parametrize(("n", "lengths"), [(2, [2]), (8, [8]), (9, [9]), (10, [8, 2]), (17, [8, 9])])
def test_no_scene_has_a_single_frame(n, lengths, monkeypatch):
    monkeypatch.setattr("mtlrepro.data.disk.synthesize.nyuv2_video.render", lambda *args, **options: {})
    found = list(VideoScenes(None, SIZE, 0).paths("train", n))
    assert [len(registered) for _, registered, _ in found] == lengths
    assert all(len(lost) == 1 for _, _, lost in found)


def test_a_single_frame_has_no_partner():
    with pytest.raises(SpecError) as caught:
        next(VideoScenes(None, SIZE, 0).paths("train", 1))
    assert "at least 2" in caught.value.mend
