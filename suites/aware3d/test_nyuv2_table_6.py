"""3D-aware regularizer, Table 6: tasks that are rendered, NYUD-v2."""

from mtlrepro.suite.table import Row, Table
from suites.aware3d.methods import INVPT, ours

RENDERED = {"Seg.": "semseg", "Depth": "depth", "Normal": "normals", "Edge": "edges"}

TABLE = Table(
    paper="aware3d",
    dataset="nyuv2",
    id="6",
    rows=[
        *(Row(name, ours(INVPT, render=(task,))) for name, task in RENDERED.items()),
        Row("All tasks", ours(INVPT)),
    ],
)
