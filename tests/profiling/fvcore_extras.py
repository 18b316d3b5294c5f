"""What fvcore counts beside convolutions and matrix products, in its units, on any device."""

from __future__ import annotations

import torch.nn.functional as F
from torch.overrides import TorchFunctionMode


class FvcoreExtras(TorchFunctionMode):
    """Sums it over what runs inside it.

    Attributes:
        total: so far.
    """

    EACH = {
        (F.batch_norm, None): 2,
        (F.layer_norm, None): 5,
        (F.interpolate, "bilinear"): 4,
        (F.interpolate, "nearest"): 1,
    }
    """Function and its mode -> count an element of its result."""

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        # Without values a batch norm is its input, and passing that on takes half of the time.
        result = args[0] if func is F.batch_norm else func(*args, **kwargs)
        each = self.EACH.get((func, kwargs.get("mode")))
        if each:
            self.total += each * result.numel()
        return result
