#!/usr/bin/env python3
"""prove.py [SCENE...]: plays the scenes on the cluster that up.sh brought up; all of them, if none is named. Ends with 1 at the first
that is not as promised."""

import importlib
import sys
import time

import stage

SCENES = ["install", "cameras", "jobs", "lag", "pods", "disruptions"]


def main():
    for name in sys.argv[1:] or SCENES:
        scene = importlib.import_module(f"scenes.{name}")
        stage.say(f"== {name}: {scene.__doc__.strip()}")
        begun = time.monotonic()
        try:
            scene.play()
        except stage.Wrong as wrong:
            stage.say(f"== {name} FAILED after {time.monotonic() - begun:.0f} s: {wrong}")
            sys.exit(1)
        stage.say(f"== {name}: as promised, {time.monotonic() - begun:.0f} s")


main()
