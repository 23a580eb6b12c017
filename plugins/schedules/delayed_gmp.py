"""Gradual magnitude pruning that begins later."""

from prunekit import Time, register

from .gmp import GMP


@register("delayed_gmp", source="Corti et al. 2022, arXiv 2207.00200, §3: ΔGMP")
class DelayedGMP(GMP):
    """GMP once the representation has settled: by default from a tenth to a fifth of the stage, as in the paper."""

    begin: Time = Time(percent=10.0)
    """When the first update is made."""
    end: Time = Time(percent=20.0)
    """When the last update is made; what is left of the stage recovers."""
