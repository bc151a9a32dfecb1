"""check_sbom.py BILL INSTALLED ROOT: whether a bill of materials is CycloneDX 1.6 and lists what is in the image.

INSTALLED: lines NAME VERSION SOURCE of the image's Debian packages. ROOT: the image's file system.
"""

import json
import pathlib
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def main() -> None:
    bill, installed, root = (pathlib.Path(one) for one in sys.argv[1:])
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill.read_text())
    if problem:
        sys.exit(f"{bill} is not CycloneDX 1.6: {problem}")
    parts = json.loads(bill.read_text())["components"]
    kinds = {kind: {one["name"]: one["version"] for one in parts if one["purl"].startswith(f"pkg:{kind}/")}
             for kind in ("cargo", "deb", "pypi")}
    lines = [line.split() for line in installed.read_text().splitlines()]
    there = {name: version for name, version, _ in lines}
    if kinds["deb"] != there:
        differ = sorted(set(kinds["deb"].items()) ^ set(there.items()))
        sys.exit(f"{bill} does not list what is installed: {differ[:10]}")
    # The library's own name holds its version; ldconfig may have made links to it.
    for library in root.glob("usr/local/lib/libonnxruntime.so.*"):
        if library.is_symlink():
            continue
        version = library.name.removeprefix("libonnxruntime.so.")
        if version not in (kinds["pypi"].get("onnxruntime"), kinds["pypi"].get("onnxruntime-gpu")):
            sys.exit(f"{bill} does not list ONNX Runtime {version}")
    for needed in ("rdkafka-sys", "serde_json", "sightline-schema"):
        if needed not in kinds["cargo"]:
            sys.exit(f"{bill} does not list {needed}")
    documents = root / "usr/share/doc"
    for text in ("LICENCES.md", "LICENSE", "NOTICES.txt"):
        if not (documents / "sightline" / text).stat().st_size:
            sys.exit(f"{text} is empty")
    # One of a source's packages holds it for all.
    licensed = {source for name, _, source in lines if (documents / name / "copyright").exists()}
    without = [name for name, _, source in lines if source not in licensed]
    if without:
        sys.exit(f"Debian packages without their licence: {without}")
    print(f"{sum(len(kind) for kind in kinds.values())} parts in the bill of materials: {len(kinds['cargo'])} crates, "
          f"{len(kinds['deb'])} Debian packages, {len(kinds['pypi'])} wheels")


if __name__ == "__main__":
    main()
