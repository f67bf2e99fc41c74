"""StyleGAN3, t and r, and StyleGAN-XL in plain PyTorch: no compiled operator.

    w = f(z, c)        ws = truncate(broadcast(w))        image = g(ws)

Parameter names and formulas are those of the official releases, so official weights load without
renaming. What differs is the order of the arithmetic, for speed on a CPU
(`benchmarks/render_families.py`):

- a modulated convolution scales activations, not weights, so that one ordinary convolution serves
  the batch; a style is scaled by its own size, not that of its batch, which cancels;
- filters are banded matrices, and the fine grid between them is not kept
  (`genviews.generators.filtered`);
- views that share their first rows share the work of those rows (`synthesize_views`).

Source: Karras et al., "Alias-free generative adversarial networks", NeurIPS 2021, arXiv 2106.12423;
Sauer et al., "StyleGAN-XL: scaling StyleGAN to large diverse datasets", SIGGRAPH 2022, arXiv
2202.00273.
"""

from __future__ import annotations

from genviews.generators.style import StyleGenerator
from genviews.generators.stylegan3_config import StyleGAN3Config
from genviews.generators.stylegan3_networks import SynthesisNetwork, mapping_of

__all__ = ["StyleGAN3", "StyleGAN3Config"]


class StyleGAN3(StyleGenerator):
    """A StyleGAN3 or StyleGAN-XL generator in W+ space.

    Args:
        config: the architecture. Weights start as in training from scratch: seed torch's global
            generator, or load official ones with `genviews.weights.load_strictly`.

    Differs: single precision throughout, and a style is scaled by its own size in place of its
        batch's, so that an image does not depend on its neighbours; both change round-off only
        (results/generators/stylegan3.json).

    Example:
        >>> from genviews import Rng
        >>> g = StyleGAN3(StyleGAN3Config(resolution=16, z_dim=8, w_dim=8, channel_max=4,
        ...     num_layers=4))
        >>> g.synthesize(g.map(g.sample(Rng(0).streams([0, 1])))).shape
        torch.Size([2, 3, 16, 16])
    """

    synthesis: SynthesisNetwork

    def __init__(self, config: StyleGAN3Config) -> None:
        """Build the networks; see the class docstring."""
        super().__init__(config)
        self.config = config
        self.mapping = mapping_of(config)
        self.synthesis = SynthesisNetwork(config)
