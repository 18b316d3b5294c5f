"""Mask2Former (Cheng et al., CVPR 2022) as MT-CP (WACV 2025, section 3.2) shares it: one map out of masks and pixels.

The network is that of `transformers`, a Swin transformer, a pixel decoder with deformable attention and a decoder of
queries, without its class head. What the tasks share is the map of pixel embeddings, times the sum of the last layer's
masks: see `shared_representation`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from mtlrepro.errors import DataError, MissingExtra, SpecError
from mtlrepro.models.deformable import DeformableAttention
from mtlrepro.models.exact import at_least_float32, exact

if TYPE_CHECKING:
    from mtlrepro.models.weights import WeightsReport

STAGES = ("stage1", "stage2", "stage3", "stage4")
STRIDE = 32

RENAMED = (
    (r"^(network|model)\.", ""),
    (r"^(pixel_level_module\.encoder)\.swin\.", r"\1."),
    (r"\.attention\.self\.query\.", ".attention.q_proj."),
    (r"\.attention\.self\.key\.", ".attention.k_proj."),
    (r"\.attention\.self\.value\.", ".attention.v_proj."),
    (r"\.attention\.self\.relative", ".attention.relative_position_bias.relative"),
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
    (r"(\.blocks\.\d+)\.intermediate\.dense\.", r"\1.mlp.fc1."),
    (r"(\.blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
)
"""Pattern -> replacement: what makes a tensor's name the same in the published checkpoints and in all versions of
`transformers`, of which 5.9 renamed the Swin transformer's parts."""

UNREAD = frozenset({"pixel_level_module.encoder.swin.layernorm"})
"""The layer norm after the Swin transformer's last stage, which newer versions of `transformers` build and run although
nothing reads it: it is left out, so that every parameter has a gradient."""

LEFT_OUT = re.compile(
    r"^class_predictor\.|^criterion\.|\.relative_position_index$|^pixel_level_module\.encoder\.layernorm\."
)
"""Tensors of a checkpoint that this network has no use for: the class head, weights of the loss over classes, numbers
that follow from the windows' size, and the layer norm after the Swin transformer, which nothing reads."""


@dataclass(frozen=True)
class Mask2FormerConfig:
    """One Mask2Former with a Swin transformer, as data.

    Attributes:
        embed: channels of the Swin transformer's first stage; every stage doubles them.
        depths: its blocks, stage by stage.
        heads: of its attention, stage by stage.
        parameters: number of learnable parameters.
        window: side of its windows, in tokens.
        drop_path: stochastic depth: the rate of its last block, rising linearly from 0 at the first.
        width: channels of the pixel decoder and of the queries, a multiple of 32.
        embedding: channels of the pixel embeddings and so of the resulting map.
        attention_heads: of the pixel decoder's attention and of the queries'.
        encoder_layers: deformable layers of the pixel decoder.
        encoder_hidden: width of their hidden layer.
        decoder_layers: layers of the decoder of queries.
        decoder_hidden: width of their hidden layer.
        queries: their number.
        weights: pinned tags whose weights fit, none for a network that nobody pretrained.
    """

    embed: int
    depths: tuple[int, int, int, int]
    heads: tuple[int, int, int, int]
    parameters: int
    window: int = 7
    drop_path: float = 0.3
    width: int = 256
    embedding: int = 256
    attention_heads: int = 8
    encoder_layers: int = 6
    encoder_hidden: int = 1024
    decoder_layers: int = 9
    decoder_hidden: int = 2048
    queries: int = 100
    weights: tuple[str, ...] = ()

    def build(self, *, size: tuple[int, int] | None = None) -> Mask2Former:
        """The network, randomly initialised as `transformers` does; `size` does not matter to it.

        Raises:
            MissingExtra: `transformers` is not installed.
            SpecError: if `transformers` builds a network with another number of parameters.
        """
        return Mask2Former(self)


MASK2FORMER_SWIN_S = Mask2FormerConfig(
    embed=96,
    depths=(2, 2, 18, 2),
    heads=(3, 6, 12, 24),
    parameters=68_718_730,
    weights=("facebook/mask2former-swin-small-ade-semantic",),
)

# Same class, shrunk by configuration alone, for smoke runs on a CPU.
MASK2FORMER_NANO = Mask2FormerConfig(
    embed=16,
    depths=(1, 1, 2, 1),
    heads=(1, 1, 2, 2),
    parameters=414_348,
    window=4,
    drop_path=0.0,
    width=32,
    embedding=16,
    attention_heads=1,
    encoder_layers=1,
    encoder_hidden=64,
    decoder_layers=2,
    decoder_hidden=64,
    queries=8,
)


def shared_representation(pixels: Tensor, masks: Tensor) -> Tensor:
    """R = P · Σₙ Mₙ: every pixel's embedding times the sum of its mask logits over the queries.

    The paper (section 3.2) writes A = PM and sums over the queries, with masks "from each layer" and a result in
    R^(N x H x W), whose sizes do not fit together. This is what its public code does: the last layer's raw logits alone
    and a result of the embeddings' shape. The sum comes first, since the product is linear in the masks.

    Args:
        pixels: P (B, C, h, w), the pixel decoder's map at a quarter of the image's size.
        masks: M (B, N, h, w), raw logits, before any sigmoid.

    Returns:
        R (B, C, h, w).
    """
    return pixels * masks.sum(dim=1, keepdim=True)


class Mask2Former(nn.Module):
    """A Mask2Former that returns the map that all tasks of MT-CP share.

    Args:
        config: what to build.

    Attributes:
        channels: `(config.embedding,)`.
        strides: `(4,)`.
        network: the library's network.
        weights_report: what was loaded, None while the weights are random.

    Raises:
        MissingExtra: `transformers` is not installed.
        SpecError: if the network that `transformers` builds does not have the configuration's number of parameters.
    """

    weights_report: WeightsReport | None = None

    def __init__(self, config: Mask2FormerConfig):
        super().__init__()
        self.channels, self.strides = (config.embedding,), (4,)
        self.network = _library_network(config)
        for name in UNREAD & dict(self.network.named_modules()).keys():
            self.network.set_submodule(name, nn.Identity())
        decoder = self.network.pixel_level_module.decoder
        # Its constructor makes this parameter on the CPU, whatever device the others are made on.
        decoder.level_embed = nn.Parameter(decoder.level_embed.to(decoder.mask_projection.weight.device))
        for layer in decoder.encoder.layers:
            layer.self_attn = DeformableAttention(layer.self_attn)
        self.watchful = *decoder.encoder.layers, self.network.transformer_module.decoder
        self.train()
        count = sum(p.numel() for p in self.parameters())
        if count != config.parameters:
            raise SpecError(
                f"this Mask2Former of transformers has {count:,} parameters, expected {config.parameters:,}",
                mend="This transformers builds another network; install the version that a stored run's env.json names",
            )

    def train(self, mode: bool = True) -> Mask2Former:
        """Training or evaluation: stochastic depth in the Swin transformer is all that differs."""
        super().train(mode)
        # While training these would wait for the GPU to see whether values are finite, for which losses are checked,
        # and whether to skip a layer, which has a probability of 0. Neither can be seen on the meta device.
        for module in self.watchful:
            module.training = False
        return self

    def forward(self, image: Tensor) -> list[Tensor]:
        """The shared map of an image (B, 3, H, W): R (B, embedding, H/4, W/4), in a list of its own.

        Raises:
            SpecError: if H or W is no multiple of 32.
        """
        height, width = image.shape[-2:]
        if height % STRIDE or width % STRIDE:
            mend = f"Choose multiples of {STRIDE}"
            raise SpecError(f"cannot take an image of {height}x{width} pixels", field="data.size", mend=mend)
        maps = self.network.pixel_level_module(pixel_values=image)
        pixels = at_least_float32(maps.decoder_last_hidden_state)
        coarser = [at_least_float32(one) for one in maps.decoder_hidden_states]
        # Queries look where earlier mask logits are above 0: rounding these would move where they look.
        with exact(image.device):
            found = self.network.transformer_module(coarser, pixels, output_hidden_states=True)
        return [shared_representation(pixels, found.masks_queries_logits[-1])]

    def adapt(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A checkpoint's tensors as this network has them: under its names, without what it has no use for.

        Raises:
            DataError: if a tensor is there under the names of two versions.
        """
        own = {canonical(name): name for name in self.state_dict()}
        kept: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            same = canonical(name)
            if own.get(same) in kept:
                mend = "Use the checkpoint as it is published"
                raise DataError("tensor is there twice, under the names of two versions", field=name, mend=mend)
            if same in own or not LEFT_OUT.search(same):
                kept[own.get(same, name)] = tensor
        return kept


def canonical(name: str) -> str:
    """A tensor's name, the same for all versions of `transformers` and with or without a class head around it."""
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _library_network(config: Mask2FormerConfig) -> Any:
    try:
        import transformers
    except ImportError:
        mend = 'Install it: pip install "mtlrepro[mtcp]"'
        raise MissingExtra("Mask2Former needs transformers, which is not installed", mend=mend) from None
    library: Any = transformers  # its annotations lack what its configurations take beside their fields
    # On CUDA the fused kernels of scaled_dot_product_attention add up float32 gradients in no fixed order.
    swin = library.SwinConfig(
        embed_dim=config.embed,
        depths=list(config.depths),
        num_heads=list(config.heads),
        window_size=config.window,
        drop_path_rate=config.drop_path,
        out_features=list(STAGES),
        attn_implementation="eager",
    )
    settings = library.Mask2FormerConfig(
        backbone_config=swin,
        feature_size=config.width,
        mask_feature_size=config.embedding,
        hidden_dim=config.width,
        num_attention_heads=config.attention_heads,
        encoder_layers=config.encoder_layers,
        encoder_feedforward_dim=config.encoder_hidden,
        decoder_layers=config.decoder_layers + 1,  # the library counts the prediction before the first layer, too
        dim_feedforward=config.decoder_hidden,
        num_queries=config.queries,
        attn_implementation="eager",
    )
    return library.Mask2FormerModel(settings)
