"""The raw files that preparations start from: what they are called, and where they come from."""

from __future__ import annotations

LABELLED, SPLITS, MAPPING = "nyu_depth_v2_labeled.mat", "splits.mat", "classMapping40.mat"

NYU = {
    LABELLED: "2.8 GB, http://horatio.cs.nyu.edu/mit/silberman/nyu_depth_v2/nyu_depth_v2_labeled.mat",
    SPLITS: "trainNdxs and testNdxs, http://horatio.cs.nyu.edu/mit/silberman/indoor_seg_sup/splits.mat",
    MAPPING: "mapClass, from 894 to 40 classes, https://github.com/ankurhanda/nyuv2-meta-data",
}
"""The labelled frames of NYU Depth v2: files of the source folder -> what and from where."""

CITYSCAPES = {
    "leftImg8bit/{train,val}/<city>/*_leftImg8bit.png": "leftImg8bit_trainvaltest.zip, 11 GB, cityscapes-dataset.com",
    "gtFine/{train,val}/<city>/*_gtFine_labelIds.png": "gtFine_trainvaltest.zip, 241 MB, cityscapes-dataset.com",
    "disparity/{train,val}/<city>/*_disparity.png": "disparity_trainvaltest.zip, 3.5 GB, cityscapes-dataset.com",
}
"""The raw Cityscapes release: files of the source folder -> what and from where (a login is needed)."""
