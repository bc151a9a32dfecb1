"""Which rules applied, and how often: a rule that no generated record came near was not tested."""

from collections import Counter

noted = Counter()


def note(what, track=None):
    """A track that was there before gives no events: what becomes of it tests nothing."""
    if track is None or not track.is_quiet:
        noted[what] += 1
