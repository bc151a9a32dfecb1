"""Cameras that were registered through the API run, and their events are rows."""

import time

from stage import Watched, say

SECONDS = 75


def play():
    watched = Watched("calm", 2)
    time.sleep(SECONDS)
    watched.judged()
    watched.end()
    say("their rows are what truly happened")
