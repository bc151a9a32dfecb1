"""weigh.py OCI-FOLDER VARIANT LIMIT: the compressed sizes of an image's layers; LIMIT in MiB, 0 for none.

The first layer is the base. The limit of `services` is for what lies above it, that of `cpu` for all.
"""

import json
import pathlib
import sys

MIB = 1 << 20


def main() -> None:
    folder, variant, limit = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

    def blob(descriptor: dict) -> dict:
        return json.loads((folder / "blobs" / descriptor["digest"].replace(":", "/")).read_text())

    manifest = blob(json.loads((folder / "index.json").read_text())["manifests"][0])
    base, *above = [layer["size"] for layer in manifest["layers"]]
    counted = sum(above) if variant == "services" else base + sum(above)
    layers = ", ".join(f"{size / MIB:.1f}" for size in above)
    print(f"compressed {(base + sum(above)) / MIB:.1f} MiB: the base {base / MIB:.1f}, above it {sum(above) / MIB:.1f} (layers {layers})")
    if limit and counted > limit * MIB:
        sys.exit(f"{variant} is {counted / MIB:.1f} MiB; at most {limit} were promised")


if __name__ == "__main__":
    main()
