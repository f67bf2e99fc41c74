"""StyleGAN2 in plain PyTorch: mapping network, skip synthesis, no compiled operator.

    w = f(z, c)        ws = truncate(broadcast(w))        image = g(ws, noise)

Parameter names and formulas are those of the official PyTorch release, so official weights load
without renaming. What differs is the order of the arithmetic, for speed on a CPU
(`benchmarks/render.py`):

- a modulated convolution scales activations, not weights, so that one ordinary convolution serves
  the batch: conv(x; s W d) = d * conv(s * x; W) with d = (sum_i s_i^2 sum_k W_oik^2 + 1e-8)^-0.5;
- activations and weights are channels-last;
- the first convolution acts on a constant, hence is linear in the style: one matrix product;
- the 1x1 output layers are weighted sums over channels, and two small matrices up-sample images;
- views that share their first rows share the work of those rows (`synthesize_views`).

Source: Karras et al., "Analyzing and improving the image quality of StyleGAN", CVPR 2020, arXiv
1912.04958; Karras et al., "Training generative adversarial networks with limited data", NeurIPS
2020, arXiv 2006.06676.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from genviews.generators.style import StyleGenerator
from genviews.generators.stylegan2_networks import (
    MappingNetwork,
    NoiseMode,
    StyleGAN2Config,
    SynthesisNetwork,
    noise_mode,
)
from genviews.weights import load_strictly, without_filters

__all__ = ["NoiseMode", "StyleGAN2", "StyleGAN2Config", "noise_mode"]


class StyleGAN2(StyleGenerator):
    """A StyleGAN2 generator in W+ space.

    Args:
        config: the architecture. Weights start as in training from scratch: seed torch's global
            generator, or load weights with `load_weights`.

    Differs: noise is fixed by default in `synthesize` (the official default is random), because a
        view must be a function of its latent. Weights are modulated through the activations, which
        changes round-off only (below 1e-5 in float32 on random weights,
        `tests/generators/test_stylegan2.py`).

    Example:
        >>> from genviews import Rng, StyleGAN2, StyleGAN2Config
        >>> g = StyleGAN2(StyleGAN2Config(resolution=16, img_channels=1, z_dim=8, w_dim=8,
        ...     mapping_layers=2, channels={4: 8, 8: 8, 16: 4}))
        >>> g.synthesize(g.map(g.sample(Rng(0).streams([0, 1])))).shape
        torch.Size([2, 1, 16, 16])
    """

    synthesis: SynthesisNetwork

    def __init__(self, config: StyleGAN2Config) -> None:
        """Build the networks; see the class docstring."""
        super().__init__(config)
        self.config = config
        self.mapping = MappingNetwork(config)
        self.synthesis = SynthesisNetwork(config)

    def load_weights(self, state: Mapping[str, Tensor]) -> StyleGAN2:
        """Load official weights (names of `G` or `G_ema`); their constant filters may be there too.

        Returns self.

        Raises:
            ValueError: a weight is missing, unused or has another shape; the message names them.
        """
        load_strictly(self, without_filters(state), "StyleGAN2 weights", _REMEDY)
        return self


_REMEDY = "check the resolution, channel schedule and class condition of the config"
