"""What makes a dataset suspicious: rules as data, each with its bound, its reason, a mend and the evidence for it.

A rule speaks of things that a reader cannot refuse, because a sound sample may show them: one black picture is no
fault, a hundred are. Where nobody measured what is usual, its evidence says so and the bound is wide.
"""

from __future__ import annotations

from collections.abc import Mapping

from mtlrepro.data.disk.checkup.findings import (
    Case,
    Rule,
    blank,
    contrary,
    mixed,
    much_left_out,
    never_seen,
    odd_size,
    out_of_bounds,
    repeated,
    same_but_case,
    same_pixels,
    shared,
    swapped,
    too_few,
)

UNMEASURED = "what is usual was not published; a wide bound that the embedded scenes keep"


def _far_end(case: Case) -> float:
    return case.info.max_depth


_UNIT = (
    "Correct unit in [tasks.depth] of a copy of the description (or max_depth, if such distances are right), or "
    "convert the files"
)
_AGAIN = "Get these files again, or see what made them"
_MAPS = ("occlusion", "reshading", "keypoints", "texture")

BLANK: Mapping[str, Mapping[str, float]] = {
    "depth": {"taskonomy": 0.25},
    "normals": {"taskonomy": 0.25, "pascal_context": 0.5},
}
"""Label -> dataset -> share of its samples that may lack any valid pixel of it; everywhere else none may."""

RULES: tuple[Rule, ...] = (
    Rule(
        "depth_zeros",
        out_of_bounds,
        why="depth 0 means no measurement, and far more than the usual share of pixels have it",
        mend="Get the depth files again or prepare them from the official ones; masked losses and metrics see the rest",
        evidence="a user of the Cityscapes npy release found over 3/4 of an image invalid (lorenmt/mtan issue 15), its "
        "author expected few; embedded streets have 0.1 to 0.35. How many images of a sound release have so "
        "many is not published",
        task="depth",
        figure="invalid",
        above=0.6,
        tolerated=0.02,
        usual={"taskonomy": 0.25},
    ),
    Rule(
        "depth_far",
        out_of_bounds,
        why="depth is in another unit than metres, such as millimetres or centimetres",
        mend=_UNIT,
        evidence="twice the far end that the description gives: 20 m indoors, where sensors end at 10 m. Skies of "
        "computed streets are at 655 m and may fill half of a picture",
        task="depth",
        figure="median",
        above=2.0,
        tolerated=0.01,
        usual={"synthia": 0.5, "virtual_kitti2": 0.5},
        unit=_far_end,
    ),
    Rule(
        "depth_near",
        out_of_bounds,
        why="depth is in another unit than metres, such as kilometres, or was divided by its maximum twice",
        mend=_UNIT,
        evidence="a 200th of the far end that the description gives: 5 cm indoors, nearer than any sensor measures; "
        "some views of Taskonomy may be of something before the lens",
        task="depth",
        figure="median",
        below=0.005,
        tolerated=0.01,
        usual={"taskonomy": 0.05},
        unit=_far_end,
    ),
    Rule(
        "depth_mixed",
        mixed,
        why="some depth files are in another unit than others",
        mend="Bring all of them to one unit; look at what made the first and the last of these",
        evidence=UNMEASURED + " by far: their deciles differ by a factor below 3. Views within rooms lie between "
        "half a metre and ten, a factor of 20",
        task="depth",
        figure="median",
        above=50.0,
        tolerated=0.1,
        usual={"synthia": 0.25, "virtual_kitti2": 0.25},
    ),
    Rule(
        "depth_constant",
        out_of_bounds,
        why="every pixel has the same depth",
        mend=_AGAIN,
        evidence="a picture of one distance to a part in 10 000 does not occur",
        task="depth",
        figure="spread",
        below=1e-4,
        tolerated=0.01,
        usual={"taskonomy": 0.05},
    ),
    Rule(
        "normals_sides",
        contrary,
        why="normals face the camera in some samples or places and away from it in others: signs or axes are mixed up",
        mend="Bring all normals to one convention: x right, y down, z forward, towards the camera",
        evidence="visible surfaces face the camera but for steep ones at the border of wide pictures: embedded scenes "
        "have up to a quarter on the other side",
        task="normals",
        figure="away",
        above=0.4,
        tolerated=0.1,
    ),
    Rule(
        "normals_constant",
        out_of_bounds,
        why="every pixel has the same normal",
        mend=_AGAIN,
        evidence="a picture of one direction to 1/1000 does not occur outside of tests",
        task="normals",
        figure="spread",
        below=1e-3,
        tolerated=0.01,
        usual={"taskonomy": 0.05, "pascal_context": 0.05},
    ),
    Rule(
        "normals_missing",
        out_of_bounds,
        why="hardly a pixel has a normal",
        mend=_AGAIN,
        evidence=UNMEASURED,
        task="normals",
        figure="invalid",
        above=0.95,
        tolerated=0.1,
        usual={"taskonomy": 0.25, "pascal_context": 0.5},
    ),
    *(
        Rule(
            f"{task}_none",
            blank,
            why=f"these samples teach and judge nothing of {task}",
            mend=_AGAIN,
            evidence="labels of these releases are complete but for Taskonomy's and the normals of PASCAL-Context",
            task=task,
            usual=usual,
        )
        for task, usual in BLANK.items()
    ),
    Rule(
        "semseg_one_class",
        out_of_bounds,
        why="the label maps show one class",
        mend=_AGAIN,
        evidence=UNMEASURED
        + "; Taskonomy's pseudo-labels are background alone where no object was found, and so may be "
        "those of PASCAL-Context",
        task="semseg",
        figure="classes",
        below=1.5,
        tolerated=0.05,
        usual={"taskonomy": 0.98, "pascal_context": 0.5},
    ),
    Rule(
        "semseg_unlabelled",
        out_of_bounds,
        why="the label maps are ignored nearly everywhere: stored ids do not fit the description, or files are empty",
        mend="Compare stored ids with offset, ignore and classes of the description",
        evidence=UNMEASURED + "; Taskonomy's pseudo-labels leave much uncertain",
        task="semseg",
        figure="invalid",
        above=0.95,
        tolerated=0.02,
        usual={"taskonomy": 0.9},
    ),
    Rule(
        "class_never_seen",
        never_seen,
        why="class ids are shifted or mapped wrongly, or files are missing; mIoU counts it as 0 or not at all",
        mend="Compare stored ids with offset and classes of the description",
        evidence="benchmarks print a figure for every class of NYUv2, PASCAL-Context and Cityscapes; a split under 200 "
        "samples may lack one by chance, and Taskonomy's pseudo-labels may lack several",
        task="semseg",
        at_least=200,
        usual={"taskonomy": 0.5},
    ),
    Rule(
        "edges_none",
        out_of_bounds,
        why="edge maps are empty",
        mend=_AGAIN,
        evidence=UNMEASURED,
        task="edges",
        figure="positive",
        below=1e-4,
        tolerated=0.1,
    ),
    Rule(
        "edges_dense",
        out_of_bounds,
        why="too much of the picture is an edge: maps are inverted, or were thickened by interpolation",
        mend="Resize edges by nearest neighbour, or thin them",
        evidence="interpolation takes 5 % of edge pixels to 18.5 % (the released loader of DenseMTL); embedded scenes "
        "have 3 to 6 %",
        task="edges",
        figure="positive",
        above=0.25,
        tolerated=0.1,
    ),
    Rule(
        "edges_thick",
        out_of_bounds,
        why="edges are three pixels wide or more",
        mend="Store lines of one pixel: boundary metrics match thin lines",
        evidence="a line of one or two pixels has no pixel amid eight others; embedded scenes have below 0.01",
        task="edges",
        figure="thick",
        above=0.1,
        tolerated=0.1,
    ),
    Rule(
        "saliency_none",
        out_of_bounds,
        why="saliency maps mark nothing",
        mend=_AGAIN,
        evidence=UNMEASURED,
        task="saliency",
        figure="positive",
        below=1e-4,
        tolerated=0.5,
    ),
    *(
        Rule(
            f"{task}_constant",
            out_of_bounds,
            why="every pixel has the same value",
            mend=_AGAIN,
            evidence=UNMEASURED,
            task=task,
            figure="spread",
            below=1e-6,
            tolerated=0.2,
        )
        for task in _MAPS
    ),
    Rule(
        "image_black",
        out_of_bounds,
        why="images are black, or floats in [0, 1] were stored as 8 bit",
        mend=_AGAIN,
        evidence=UNMEASURED,
        task="image",
        figure="high",
        below=0.04,
        tolerated=0.01,
    ),
    Rule(
        "image_flat",
        out_of_bounds,
        why="images show one colour",
        mend=_AGAIN,
        evidence=UNMEASURED,
        task="image",
        figure="deviation",
        below=0.004,
        tolerated=0.01,
    ),
    Rule(
        "image_grey",
        out_of_bounds,
        why="images lost their colours: initial weights and published figures expect RGB",
        mend=_AGAIN,
        evidence="all releases are colour pictures; a few grey ones among photographs from the web are usual",
        task="image",
        figure="colour",
        below=1e-3,
        tolerated=0.05,
    ),
    Rule(
        "image_size",
        odd_size,
        why="files were resized, or are another release",
        mend="Get the release that `mtlrepro data info` names: a recipe's crops and scales start from its size",
        evidence="sizes of the releases",
    ),
    Rule(
        "too_few",
        too_few,
        why="the copy is a part of the release: figures on it do not compare",
        mend="Get the rest of the release that `mtlrepro data info` names",
        evidence="the number is known roughly; less than 90 % of it is another dataset",
        below=0.9,
    ),
    Rule(
        "left_out",
        much_left_out,
        why="many samples lack what their reader needs to use them",
        mend="Add what the reasons name, or be aware that the set is smaller than the one that others use",
        evidence="how many a sound copy loses is not published; a tenth is a wide bound",
        tolerated=0.1,
    ),
    Rule(
        "swapped_splits",
        swapped,
        why="the train and the val list, or their folders, are swapped",
        mend="Swap them back",
        evidence="counts of the release",
    ),
    Rule(
        "shared_files",
        shared,
        why="a model would be judged on what it was trained on",
        mend="An image belongs to one split: correct the lists",
        evidence="the splits of these releases are disjoint",
    ),
    Rule(
        "shared_pictures",
        same_pixels,
        why="a model would be judged on what it was trained on",
        mend="Look whether a folder was copied into the other split",
        evidence="the splits of these releases are disjoint; pixels are compared by digest",
    ),
    Rule(
        "repeated_pictures",
        repeated,
        why="a folder was copied, or a download wrote one file under many names",
        mend=_AGAIN,
        evidence=UNMEASURED + "; video frames differ by their noise",
        tolerated=0.02,
    ),
    Rule(
        "same_but_case",
        same_but_case,
        why="two copies lie in one tree, or one was unpacked where case does not count",
        mend="Keep the names that `mtlrepro data info` gives and remove the others",
        evidence="names of the releases differ in more than case",
    ),
)
"""All rules, in the order they are reported."""

SIZES: Mapping[str, tuple[tuple[int, int], ...]] = {
    "nyuv2": ((480, 640), (425, 560)),
    "nyuv2_invpt": ((425, 560),),
    "nyuv2_13": ((288, 384),),
    "nyuv2_depth": ((480, 640),),
    "cityscapes_7": ((128, 256),),
    "cityscapes": ((1024, 2048), (512, 1024)),
    "cityscapes_sequence": ((1024, 2048), (512, 1024)),
    "synthia": ((760, 1280),),
    "virtual_kitti2": ((375, 1242),),
    "taskonomy": ((512, 512),),
}
"""(height, width) of the releases' images, where they are all of one size and read at it."""
