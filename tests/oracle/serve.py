"""What the test in consumers/tests/oracle.rs talks to. For each seed on a line of stdin: the lines of its run, then what each of
them is answered with, and then which rules applied."""

import json
import sys

from events import answers
from generate import generate
from noted import noted


def main():
    for seed in sys.stdin:
        noted.clear()
        lines = list(generate(int(seed)))
        for value in [*lines, *answers(lines), noted]:
            print(json.dumps(value, separators=(",", ":")))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
