"""How far an answer may lie from itself when it is computed in another order: the machine decides.

NF4 computes in bf16 where the processor has it and in fp32 elsewhere (`quant.precision`), and so do the tests
that load a backbone as a user does. A sum of bf16 products moves by up to 2^-8 of its largest part with the
number of rows that are asked together.
"""

import torch

from core.recommender import Recommender


def in_bf16(recommender: Recommender) -> bool:
    """Whether a recommender's backbone computes in bf16."""
    return next(recommender.ranker.model.decoder.parameters()).dtype == torch.bfloat16


def either(coarse: bool, fp32: float, bf16: float) -> float:
    """The tolerance of what is computed: `bf16` where it is coarse."""
    return bf16 if coarse else fp32
