"""Backbones for LPIPS: random weights that the package itself drew, in files like torchvision's."""

import warnings

import pytest
import torch


@pytest.fixture(scope="session")
def lpips_random():
    """The package's own network by the name of its backbone, made once, with random weights."""
    import lpips

    made = {}

    def network(net):
        if net not in made:
            with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
                warnings.simplefilter("ignore")  # it calls torchvision the old way
                torch.manual_seed(1)
                made[net] = lpips.LPIPS(net=net, spatial=True, pnet_rand=True, verbose=False)
        return made[net]

    return network


@pytest.fixture(scope="session")
def lpips_backbone(lpips_random, tmp_path_factory):
    """A file of that backbone, with torchvision's names."""
    folder = tmp_path_factory.mktemp("backbones")

    def path(net):
        if (file := folder / f"{net}.pth").exists():
            return file
        weights = lpips_random(net).net.state_dict()
        named = {f"features.{key.partition('.')[2]}": value for key, value in weights.items()}
        named["classifier.1.weight"] = torch.zeros(2, 2)  # torchvision's files have such, unused
        torch.save(named, file)
        return file

    return path
