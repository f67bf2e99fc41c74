"""Shards that tests put_shard into a store."""

from __future__ import annotations

from genviews.store import Shard


def put_shard(store, index, tensors, ids, notes=None):
    store.write(index, Shard(tensors=tensors, ids=tuple(ids), notes=notes or {}))
