"""The gate: a person's sequence vector becomes a mixture of experts (iLoRA, arXiv 2408.10159, sec. 3.2)."""

from torch import Tensor, nn


class Gate(nn.Module):
    """``w = softmax(W e + b)``: dense, known before the prompt is read.

    Shapes: sequence [B, D] float -> weights [B, K], rows >= 0 and summing to 1, same dtype as the input.
    With ``layers`` > 1 one gate per backbone layer is computed: [B, layers, K].

    Args:
        width: D, the encoder's width.
        num_experts: K.
        layers: how many mixtures one person gets (1 = shared by all layers, the paper's choice).
        hidden: width of a hidden layer; None is the paper's linear gate.
        temperature: divides the logits; above 1 is softer.
        zero: begin with all experts alike, whatever the person: the last layer starts at zero. Its gradient
            is not zero as soon as experts differ, and they differ from their first step on.
    """

    def __init__(
        self,
        width: int,
        num_experts: int,
        layers: int = 1,
        hidden: int | None = None,
        temperature: float = 1.0,
        zero: bool = False,
    ) -> None:
        super().__init__()
        self.num_experts, self.layers, self.temperature = num_experts, layers, temperature
        out = num_experts * layers
        self.network: nn.Module = (
            nn.Linear(width, out)
            if hidden is None
            else nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, out))
        )
        if zero:
            last = self.network[-1] if isinstance(self.network, nn.Sequential) else self.network
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    def forward(self, sequence: Tensor) -> Tensor:
        logits = self.network(sequence) / self.temperature
        if self.layers > 1:
            logits = logits.unflatten(-1, (self.layers, self.num_experts))  # (B, layers, K)
        return logits.softmax(-1)
