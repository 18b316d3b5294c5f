"""The label masks that lie beside a dataset: readable, of its length, and what they are called."""

from __future__ import annotations

from mtlrepro.data.disk.checkup.statistics import Problem
from mtlrepro.data.disk.checkup.survey import Survey
from mtlrepro.data.disk.prepare.record import check_rows
from mtlrepro.data.partial import SETTINGS, label_mask, published_file
from mtlrepro.data.published_masks import check_published, identify
from mtlrepro.errors import ReproError


def masks(name: str, train: Survey) -> tuple[list[str], list[Problem]]:
    """What `labels/<setting>.pth` in a dataset's folder holds, for every setting of partial labels.

    Args:
        name: the dataset's key.
        train: its training split.

    Returns:
        One line for each file that is sound, and what is wrong with the others.
    """
    notes, problems = [], []
    for setting in SETTINGS:
        file = published_file(train.root, setting)
        if file is None:
            continue
        try:
            check_rows(train.root, file)
            mask = label_mask(setting, train.info.tasks, len(train.listed), published=file)
            check_published(mask, name, setting)
        except ReproError as error:
            problems.append(Problem.of(error, str(file)))
        else:
            notes.append(f"{file.relative_to(train.root)}: {identify(mask) or f'a mask of your own ({mask.digest()})'}")
    return notes, problems
