"""Multi-layer perceptrons."""

from __future__ import annotations

from collections import OrderedDict

from pydantic import Field
from torch import nn

from prunekit import Backbone, ImageShape, register

from ._initialisation import kaiming, kaiming_head


@register("mlp_{first}_{second}", source="LeCun et al. 1998, §III.B; Laurent et al. 2020, arXiv 2006.12279")
class MLP(Backbone):
    """Two hidden layers with tanh on the flattened pixels of images of any size; ``mlp_300_100`` is the papers'.

    Kaiming initialisation (variance 2 / fan-in, biases zero), of the head too: the code of Laurent et al. draws this
    network of tanh like its networks of ReLU.
    """

    first: int = Field(ge=1)
    """Units of the first hidden layer."""
    second: int = Field(ge=1)
    """Units of the second hidden layer: the dimension of the features."""

    @property
    def reading(self) -> str:
        """Say which of the initialisations that suit tanh is taken."""
        return f"mlp_{self.first}_{self.second}: weights begin with variance 2 / fan-in, as for ReLU, despite tanh"

    def build(self, images: ImageShape) -> nn.Module:
        """Return the hidden layers."""
        pixels = images.channels * images.height * images.width
        layers = OrderedDict[str, nn.Module](
            flatten=nn.Flatten(),
            hidden1=nn.Linear(pixels, self.first),
            tanh1=nn.Tanh(),
            hidden2=nn.Linear(self.first, self.second),
            tanh2=nn.Tanh(),
        )
        encoder = nn.Sequential(layers)
        kaiming(encoder)
        return encoder

    def head(self, features: int, classes: int) -> nn.Linear:
        """Return the output layer, drawn like the others."""
        return kaiming_head(features, classes)
