"""check_compose.py PROJECT IMAGE ROOT CONFIG SHARE: whether an image understands the command lines of docker/compose.yaml.

PROJECT: the file as Compose reads it, in JSON. Every service whose image is IMAGE is tried: its arguments with `--help` behind
them, so that nothing starts; and each of its SIGHTLINE_ variables has to be one that this help names.
"""

import json
import pathlib
import re
import subprocess
import sys

INSIDE = pathlib.Path(__file__).with_name("inside")


def main() -> None:
    project, image, *where = sys.argv[1:]
    services = json.loads(pathlib.Path(project).read_text())["services"]
    ours = {name: one for name, one in services.items() if one["image"].split(":")[0] == image}
    for name, service in ours.items():
        arguments = service["command"]
        shown = inside(where, [*arguments, "--help"])
        if shown.returncode:
            sys.exit(f"{name}: {' '.join(arguments)}: {shown.stderr}")
        known = set(re.findall(r"\[env:\s+(SIGHTLINE_\w+)", shown.stdout))
        variables = {one for one in service["environment"] if one.startswith("SIGHTLINE_")}
        if variables - known:
            sys.exit(f"{name}: {' '.join(arguments)} does not know {sorted(variables - known)}")
        for secret in ("PASSWORD", "TOKEN"):
            if any(secret in one.upper() for one in arguments):
                sys.exit(f"{name}: a secret in its arguments")
        if not (service["read_only"] and service["cap_drop"] == ["ALL"]):
            sys.exit(f"{name}: may do more than it needs")
    # `--help` before a wrong flag would hide it.
    if not inside(where, ["topics", "apply", "--no-such-flag", "--help"]).returncode:
        sys.exit("a wrong flag is not seen: this test proves nothing")
    print(f"docker/compose.yaml: {', '.join(sorted(ours))}")
    if not ours:
        sys.exit(f"no service has the image {image}")


def inside(where: list[str], arguments: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run([INSIDE, *where, "--", *arguments], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    main()
