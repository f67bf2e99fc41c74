"""Weights of a network in a file: compared by shape and kind before they are read and believed."""

from __future__ import annotations

import json
import os
import struct

import pytest
import torch

from genviews.classify.network import SmallResNet
from genviews.files import load_header, load_tensors, save_tensors
from genviews.represent.encoder import (
    RepresentationConfig,
    RepresentationEncoder,
    make_backbone,
)
from genviews.weights import load_strictly


@pytest.fixture
def saved(tmp_path):
    SmallResNet(width=4).save(tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors"


def changed(path, change):
    tensors, header = load_tensors(path)
    tensors["head.weight"] = change(tensors["head.weight"])
    save_tensors(path, tensors, header)


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda one: one > 0, "numbers of bool, not of float32"),
        (lambda one: one.to(torch.int8), "numbers of int8, not of float32"),
        (lambda one: one.to(torch.complex64), "numbers of complex64, not of float32"),
        (lambda one: one.clone().fill_(float("nan")), "numbers that are not finite"),
        (lambda one: one.clone().fill_(float("-inf")), "numbers that are not finite"),
    ],
)
def test_numbers_of_another_kind_are_refused(saved, change, got):
    changed(saved, change)
    with pytest.raises(
        ValueError, match=rf"SmallResNet in a\.safetensors: .*head\.weight has {got}"
    ):
        SmallResNet.load(saved)


def test_a_file_that_lost_its_config_is_not_told_that_it_is_what_it_is(saved):
    tensors, header = load_tensors(saved)
    save_tensors(saved, tensors, {k: v for k, v in header.items() if k != "config"})
    with pytest.raises(ValueError, match=r"got .*'SmallResNet' without its config; name a file"):
        SmallResNet.load(saved)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_another_width_are_taken(saved, kind):
    before = SmallResNet.load(saved).head.weight
    changed(saved, lambda one: one.to(kind))
    torch.testing.assert_close(SmallResNet.load(saved).head.weight, before.to(kind).float())


def test_whole_numbers_stay_whole():
    norm = torch.nn.BatchNorm2d(2)
    weights = {**norm.state_dict(), "num_batches_tracked": torch.tensor(1.5)}
    with pytest.raises(ValueError, match="num_batches_tracked has numbers of float32"):
        load_strictly(norm, weights, "norm")


def test_a_header_is_read_alone(saved):
    shapes, text = load_header(saved, "file")
    tensors, wanted = load_tensors(saved)
    assert text == wanted
    assert {key: (one.shape, one.dtype) for key, one in shapes.items()} == {
        key: (one.shape, one.dtype) for key, one in tensors.items()
    }
    assert all(one.is_meta for one in shapes.values())


@pytest.mark.parametrize(
    ("network", "change"),
    [
        (SmallResNet(width=4), {"width": 3000}),
        (RepresentationEncoder(RepresentationConfig(channels=1)), {"backbone": "resnet101"}),
        (RepresentationEncoder(RepresentationConfig(channels=1)), {"projection": 10**8}),
    ],
)
def test_a_network_far_larger_than_its_file_is_not_built(tmp_path, network, change):
    """Gigabytes would be made and filled, only to be refused for their shapes."""
    network.save(tmp_path / "a.safetensors")
    tensors, header = load_tensors(tmp_path / "a.safetensors")
    header["config"] = json.dumps({**json.loads(header["config"]), **change})
    save_tensors(tmp_path / "a.safetensors", tensors, header)
    with pytest.raises(ValueError, match=r"a\.safetensors: .*a far larger one"):
        type(network).load(tmp_path / "a.safetensors")


def test_eight_gigabytes_are_not_read_to_be_refused(tmp_path):
    size = 8 * 10**9
    tensor = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    config = json.dumps({"channels": 1, "num_classes": 2, "width": 4})
    head = json.dumps({"__metadata__": {"config": config}, "a": tensor}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(head)) + head)
    os.truncate(path, 8 + len(head) + size)  # takes no room on the disk
    with pytest.raises(ValueError, match=r"SmallResNet in a\.safetensors: .*unused a"):
        SmallResNet.load(path)


def test_a_header_cannot_promise_more_than_its_file_has(tmp_path):
    tensor = {"dtype": "F32", "shape": [2**50], "data_offsets": [0, 2**52]}
    head = json.dumps({"a": tensor}).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(head)) + head)
    with pytest.raises(ValueError, match=r"file a\.safetensors: .*more numbers than it has"):
        load_header(tmp_path / "a.safetensors", "file")


@pytest.mark.parametrize("name", ["hf-hub:a/b", "hf_hub:a", "local-dir:/tmp", "a/b", "../a", ""])
def test_a_network_of_timm_is_never_fetched(name):
    with pytest.raises(ValueError, match="nothing is downloaded"):
        make_backbone(f"timm:{name}", channels=3)
