from __future__ import annotations

import json

from genviews.environment import environment


def test_environment_has_versions_and_no_paths():
    found = environment()
    assert found["versions"]["torch"] != "not installed"
    assert found["versions"]["genviews"]
    own = {k: v for k, v in found.items() if k not in ("gpus", "command")}
    assert "/" not in json.dumps(own)
    assert not any(word.startswith("/") for word in str(found["command"]).split())
