"""A dataset of numbers, and loaders, for tests of what is loaded when."""

import torch

from mtlrepro.data.disk.folder import Folder
from mtlrepro.data.loader import TrainLoader
from mtlrepro.data.sample import DatasetInfo
from mtlrepro.data.streams import Stream
from mtlrepro.tasks import make_tasks


class Numbers:
    """Sample i is filled with i; counts how often it is asked."""

    info = DatasetInfo("numbers", ("depth",))

    def __init__(self, n, size=(4, 6)):
        self.n, self.size, self.asked = n, size, []

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        self.asked.append(index)
        image = torch.arange(self.size[1]).expand(3, *self.size) + index
        return {"image": image.to(torch.uint8), "depth": image[0].float() + 1}

    def digest(self):
        return str(self.n)


DEPTH = make_tasks(("depth",), Numbers.info)


def everything(index, task):
    return True


def even(index, task):
    """Depth of even samples, everything else of odd ones."""
    return (task == "depth") == (index % 2 == 0)


def whole(dataset, batch, labelled=everything):
    return Stream(dataset, range(len(dataset)), labelled, batch)


def numbers(n=10, batch=3, seed=0, augment="flip_zoom", size=(4, 6), extra=None, **options):
    return TrainLoader((whole(Numbers(n), batch), extra), DEPTH, size, augment, seed, **options)


def tiny(description, workers=0, seed=0, size=(24, 40)):
    dataset = Folder(description, "train")
    tasks = make_tasks(dataset.info.tasks, dataset.info)
    return TrainLoader((whole(dataset, 3), None), tasks, size, "flip_zoom", seed, workers)


def same(a, b):
    if hasattr(a, "index") and not (torch.equal(a.index, b.index) and same_maps(a.labelled, b.labelled)):
        return False
    others = getattr(a, "others", ()), getattr(b, "others", ())
    return (
        torch.equal(a.image, b.image)
        and same_maps(a.targets, b.targets)
        and getattr(a, "windows", ()) == getattr(b, "windows", ())
        and len(others[0]) == len(others[1])
        and all(map(same, *others))
    )


def same_maps(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k].nan_to_num(-9), b[k].nan_to_num(-9)) for k in a)
