"""The hash of weights sees every value, and nothing of how the values are stored."""

import hashlib

import torch
from torch import nn

from genviews.fingerprint import tensor_hash, weights_hash


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


def test_equals_blake2b_of_numpy_bytes():
    net = nn.Linear(2, 3)
    digest = hashlib.blake2b(digest_size=8)
    for name, value in (("bias", net.bias), ("weight", net.weight)):
        array = value.detach().numpy()
        content = f"{array.shape} torch.float32 {hashlib.blake2b(array.tobytes()).hexdigest()}"
        digest.update(f"{name} {content}".encode())
    assert weights_hash(net) == digest.hexdigest()
    alone = hashlib.blake2b(content.encode(), digest_size=8).hexdigest()
    assert tensor_hash(net.weight) == alone == tensor_hash(net.weight.t().contiguous().t())
    assert len({tensor_hash(t) for t in (net.weight, net.bias, net.weight * 2)}) == 3


def test_storage_and_order_do_not_count():
    expected = weights_hash(filled())
    assert weights_hash(filled(swapped=True)) == expected
    assert weights_hash(filled(persistent=False)) == expected
    strided = filled().to(memory_format=torch.channels_last)
    assert not strided.conv.weight.is_contiguous()
    assert weights_hash(strided) == expected
    strided = filled()
    strided.mean = torch.zeros(4)[::2]
    assert weights_hash(strided) == expected
    assert weights_hash(filled().eval().requires_grad_(False)) == expected


def test_every_tensor_counts():
    seen = {weights_hash(filled())}
    for name in ("conv.weight", "conv.bias", "a", "b", "count", "mean"):
        for persistent in (True, False):
            net = filled(persistent=persistent)
            tensors = dict(net.named_parameters()) | dict(net.named_buffers())
            with torch.no_grad():
                tensors[name].view(-1)[0] += 1
            seen.add(weights_hash(net))
    flipped = filled()
    flipped.on.logical_not_()
    seen.add(weights_hash(flipped))
    assert len(seen) == 1 + 6 + 1


def test_types_and_shapes_count():
    seen = {weights_hash(filled().to(t)) for t in (torch.float32, torch.bfloat16, torch.float64)}
    other = filled()
    other.mean = torch.zeros(1, 2)
    assert len(seen | {weights_hash(other)}) == 4


def test_extra_state_counts():
    class Extra(nn.Module):
        level = 1

        def get_extra_state(self):
            return {"level": self.level}

    one, two = Extra(), Extra()
    two.level = 2
    assert weights_hash(one) != weights_hash(two)
