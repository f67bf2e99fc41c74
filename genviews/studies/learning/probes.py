"""Names of what encoders are judged by."""

from __future__ import annotations

__all__ = ["PROBES", "probe_name"]

PROBES = {"linear": "Linear probe", "knn": "Nearest neighbours", "voc": "VOC07 AP"}


def probe_name(probe: str, *, inside: bool = False) -> str:
    """The name of a probe as people read it.

    Args:
        probe: a key of `PROBES`.
        inside: of a sentence, where a word begins with a small letter and a short form does not.

    Example:
        >>> probe_name("linear", inside=True), probe_name("voc", inside=True)
        ('linear probe', 'VOC07 AP')
    """
    name = PROBES.get(probe, probe)
    return name if not inside or name[:2].isupper() else name[0].lower() + name[1:]
