"""DenseMTL (Lopes, Vu and de Charette, WACV 2023): a decoder a task, and blocks between them in which tasks exchange.

The paper's section 3.2 describes the block, the public reference implementation the encoder and the decoders. There the
order in which a block concatenates three and more tasks is that of a set of strings and differs from process to
process; here it is that of `main`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from mtlrepro.errors import SpecError
from mtlrepro.models.base import Backbone
from mtlrepro.models.outputs import Outputs
from mtlrepro.models.unet import WIDTHS, TaskDecoders
from mtlrepro.models.xtam import ExchangeBlock, check_exchange

FACTORS = {4: 1, 3: 1, 2: 2, 1: 4}
"""Stage -> downscaling inside its block: attention is at 1/16 of the image's resolution for stage 4, else at 1/8."""

DEFAULT_STAGES = (1,)
"""Stage of the published block, and of the side predictions without any block (table 3, first row)."""


class DenseMTL(nn.Module):
    """One shared backbone, a U-Net decoder a task, exchange blocks (mTEB) after any stages but the last.

    Args:
        backbone: the shared encoder, of five maps.
        main: the tasks; a single one has nobody to exchange with and gets no blocks.
        channels: output channels of every task.
        widths: channels of the decoders' stages, stage 0 first; even where blocks stand.
        sides: (task, stages) pairs, at which stages beside 0 a task has a prediction; for other tasks these are the
            stages with a block, or stage 1 where there is none.
        sigmoid: tasks whose predictions are in (0, 1), for self-supervised disparity.
        stages: stages with a block, any of 4, 3, 2 and 1.
        fusion: "add", "prod" or "concat" (table 4a).
        attention: "spatial", "channel", "both" (table 4b) or "none", self-attention alone.
        self_attention: whether the blocks have self-attention (appendix A.2).

    Raises:
        SpecError: for stages that can have no block, tasks in `sides` and `sigmoid` that are not among `main`, unknown
            names, and for a backbone, widths and sides that no decoder can have.
    """

    front_end: ClassVar[bool] = False

    def __init__(
        self,
        backbone: Backbone,
        main: Sequence[str],
        channels: Mapping[str, int],
        *,
        widths: Sequence[int] = WIDTHS,
        sides: Sequence[tuple[str, Sequence[int]]] = (),
        sigmoid: Sequence[str] = (),
        stages: Sequence[int] = DEFAULT_STAGES,
        fusion: str = "add",
        attention: str = "spatial",
        self_attention: bool = True,
    ):
        super().__init__()
        check_exchange(fusion, attention, self_attention)
        if not set(stages) <= set(FACTORS) or len(set(stages)) < len(stages):
            mend = f"Name any of {', '.join(map(str, FACTORS))} once each"
            raise SpecError(f"no blocks can stand at stages {tuple(stages)}", field="stages", mend=mend)
        self.backbone = backbone
        default = stages or DEFAULT_STAGES
        self.decoders = TaskDecoders(backbone.channels, main, channels, widths, default, sides, sigmoid)

        def block(stage: int) -> ExchangeBlock:
            return ExchangeBlock(
                main,
                widths[stage],
                FACTORS[stage],
                fusion=fusion,
                attention=attention,
                self_attention=self_attention,
            )

        self.exchange = nn.ModuleDict({str(stage): block(stage) for stage in stages} if len(main) > 1 else {})

    def forward(self, image: Tensor) -> Outputs:
        """Predictions of an image (B, 3, H, W).

        Stages `"stage4"` … `"stage1"` hold side predictions at the decoder stages' own resolutions; where a stage has a
        block, they are made of features that have not passed it.
        """
        maps = self.backbone(image)
        blocks: dict[int, Callable[..., dict[str, Tensor]]] = {int(s): block for s, block in self.exchange.items()}
        predictions = self.decoders(maps, blocks)
        return Outputs(predictions.pop("stage0"), predictions, maps)
