"""MTI-Net, Table 7b: parameters, multiply-accumulates and multi-task performance, ResNet-50 FPN, PASCAL-Context.

How wide task features are on a pyramid is not published: ours were picked to come near this table, as others do.
"""

from mtlrepro.suite.table import Row, Table
from suites.mti_net.methods import COMPLETE, R50_FPN, mti_net, multi_task, single_task

WIDTHS = [(64, 120, 128, 208), (80, 80, 128, 224), (64,) * 4, (128,) * 4, (256,) * 4]

TABLE = Table(
    paper="mti_net",
    dataset="pascal_context",
    id="7b",
    rows=[
        Row("Single Task", single_task(R50_FPN, COMPLETE)),
        Row("Multi-Task", multi_task(R50_FPN, COMPLETE)),
        Row("Ours", mti_net((), R50_FPN, COMPLETE)),
        *(
            Row(
                f"Ours, widths {', '.join(map(str, widths))}",
                mti_net((), R50_FPN, COMPLETE, widths=widths),
                reading_of="Ours",
                counted=True,
            )
            for widths in WIDTHS
        ),
    ],
)
