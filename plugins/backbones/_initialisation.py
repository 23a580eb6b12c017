"""How fresh weights are drawn."""

from torch import nn


def kaiming(network: nn.Module) -> None:
    """Draw convolutions and linear layers anew, in place: weights normal of variance 2 / fan-in, biases zero.

    He et al. 2015, arXiv 1502.01852, eq. 10. Random numbers come from torch's global generator.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def kaiming_head(features: int, classes: int) -> nn.Linear:
    """Return a linear head drawn as :func:`kaiming` draws."""
    head = nn.Linear(features, classes)
    kaiming(head)
    return head


def scaled(channels: int, width: float) -> int:
    """Return so many channels times ``width``, at least one."""
    return max(1, round(channels * width))
