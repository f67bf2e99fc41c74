"""The description of a module sees every value, and nothing of how the values are stored."""

import hashlib

import torch
from torch import nn

from genviews.identity import describe, key


class Net(nn.Module):
    def __init__(self, *, swapped=False, persistent=True):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        for name in ("b", "a") if swapped else ("a", "b"):
            self.register_parameter(name, nn.Parameter(torch.ones(2)))
        self.register_buffer("on", torch.tensor([True, False]))
        self.register_buffer("count", torch.tensor(3))
        self.register_buffer("mean", torch.zeros(2), persistent)


def filled(**options):
    torch.manual_seed(0)
    return Net(**options)


def test_a_tensor_is_its_numpy_bytes():
    weight = nn.Linear(2, 3).weight
    digest = hashlib.blake2b(b"(3, 2) torch.float32 ", digest_size=8)
    digest.update(weight.detach().numpy().tobytes())
    assert describe(weight) == {"tensor": digest.hexdigest()}
    assert describe(weight.t().contiguous().t()) == describe(weight)
    assert len({key(t) for t in (weight, weight[0], weight * 2)}) == 3


def test_storage_and_order_do_not_count():
    expected = key(filled())
    assert key(filled(swapped=True)) == expected
    assert key(filled(persistent=False)) == expected
    strided = filled().to(memory_format=torch.channels_last)
    assert not strided.conv.weight.is_contiguous()
    assert key(strided) == expected
    strided = filled()
    strided.mean = torch.zeros(4)[::2]
    assert key(strided) == expected
    assert key(filled().eval().requires_grad_(False)) == expected


def test_every_tensor_counts():
    seen = {key(filled())}
    for name in ("conv.weight", "conv.bias", "a", "b", "count", "mean"):
        for persistent in (True, False):
            net = filled(persistent=persistent)
            tensors = dict(net.named_parameters()) | dict(net.named_buffers())
            with torch.no_grad():
                tensors[name].view(-1)[0] += 1
            seen.add(key(net))
    flipped = filled()
    flipped.on.logical_not_()
    seen.add(key(flipped))
    assert len(seen) == 1 + 6 + 1


def test_types_and_shapes_count():
    seen = {key(filled().to(t)) for t in (torch.float32, torch.bfloat16, torch.float64)}
    other = filled()
    other.mean = torch.zeros(1, 2)
    assert len(seen | {key(other)}) == 4


def test_extra_state_counts():
    class Extra(nn.Module):
        level = 1

        def get_extra_state(self):
            return {"level": self.level}

    one, two = Extra(), Extra()
    two.level = 2
    assert key(one) != key(two)
