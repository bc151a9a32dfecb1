"""What the test in consumers/tests/oracle.rs talks to: for each seed on a line of stdin the lines of its run, then its events,
then an end with which rules applied."""

import json
import sys

from events import answers
from generate import generate
from noted import noted


def main():
    for seed in sys.stdin:
        noted.clear()
        lines = list(generate(int(seed)))
        for line in lines:
            print(json.dumps(line, separators=(",", ":")))
        for answer in answers(lines):
            print(json.dumps({**answer, "noted": noted} if "end" in answer else answer))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
