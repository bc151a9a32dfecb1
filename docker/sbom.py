"""Writes a CycloneDX 1.6 bill of materials of an image: the crates in its binary, its Debian packages, its wheels.

Reads `cargo metadata` from standard input. Of the crates those count that are linked: not what only builds run, nor macros.
The same input gives the same bytes. Needs nothing but Python 3.11.
"""

import argparse
import hashlib
import json
import pathlib
import re
import sys
import tomllib
import urllib.parse

# Texts that licences want beside copies of the work.
NOTICES = re.compile(r"^(licen[cs]e|copying|notice|copyright|unlicense)", re.IGNORECASE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=pathlib.Path, required=True, help="Cargo.lock: the crates' checksums")
    parser.add_argument("--dpkg", type=pathlib.Path, required=True, help="the image's /var/lib/dpkg/status")
    parser.add_argument("--wheels", type=pathlib.Path, help="a requirements file with hashes")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--notices", type=pathlib.Path, required=True, help="the crates' licence texts go here")
    args = parser.parse_args()

    metadata = json.load(sys.stdin)
    root, linked, depends = linked_crates(metadata)
    checksums = {
        (package["name"], package["version"]): package.get("checksum")
        for package in tomllib.loads(args.lock.read_text())["package"]
    }
    crates = [crate_component(package, checksums) for package in linked]
    debian = debian_components(args.dpkg.read_text())
    wheels = wheel_components(args.wheels.read_text()) if args.wheels else []
    # What Debian and the wheels bring, the program depends on as a whole.
    depends[reference(root)] += [component["bom-ref"] for component in debian + wheels]
    bill = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": crate_component(root, checksums) | {"type": "application"}},
        "components": crates + debian + wheels,
        "dependencies": [{"ref": ref, "dependsOn": sorted(set(on))} for ref, on in sorted(depends.items())],
    }
    args.out.write_text(json.dumps(bill, indent=1, ensure_ascii=False) + "\n")
    args.notices.write_text(notices(linked))
    print(f"{args.out}: {len(crates)} crates, {len(debian)} Debian packages, {len(wheels)} wheels")


def linked_crates(metadata: dict) -> tuple[dict, list[dict], dict[str, list[str]]]:
    """The program, what is linked into it, and who depends on whom, by their references."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    depends: dict[str, list[str]] = {}
    waiting = [root]
    seen = {root}
    while waiting:
        node = waiting.pop()
        on = depends.setdefault(reference(packages[node]), [])
        for dependency in nodes[node]["deps"]:
            needed = dependency["pkg"]
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            macro = any("proc-macro" in target["kind"] for target in packages[needed]["targets"])
            if not normal or macro:
                continue
            on.append(reference(packages[needed]))
            if needed not in seen:
                seen.add(needed)
                waiting.append(needed)
    linked = sorted((packages[one] for one in seen - {root}), key=lambda one: (one["name"], one["version"]))
    return packages[root], linked, depends


def reference(package: dict) -> str:
    return f"pkg:cargo/{package['name']}@{urllib.parse.quote(package['version'], safe='.-')}"


def crate_component(package: dict, checksums: dict) -> dict:
    component = {
        "type": "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    if package.get("license"):
        # What was written before SPDX had expressions.
        component["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    checksum = checksums.get((package["name"], package["version"]))
    if checksum:
        component["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return component


def debian_components(status: str) -> list[dict]:
    components = []
    for paragraph in status.strip().split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", paragraph, re.MULTILINE))
        if fields["Status"] != "install ok installed":
            continue
        name, version = fields["Package"], fields["Version"]
        quoted = urllib.parse.quote(version, safe=".-~")
        purl = f"pkg:deb/debian/{urllib.parse.quote(name, safe='.-')}@{quoted}?arch={fields['Architecture']}&distro=debian-12"
        components.append({"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl})
    return sorted(components, key=lambda one: one["name"])


def wheel_components(requirements: str) -> list[dict]:
    components = []
    for line in requirements.splitlines():
        found = re.fullmatch(r"([A-Za-z0-9_.-]+)==(\S+) --hash=sha256:([0-9a-f]{64})", line.strip())
        if not found:
            if line.strip() and not line.startswith("#"):
                sys.exit(f"{line!r} is not NAME==VERSION --hash=sha256:HEX")
            continue
        name, version, digest = found.groups()
        purl = f"pkg:pypi/{name}@{version}"
        components.append({
            "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
            "hashes": [{"alg": "SHA-256", "content": digest}],
        })
    return components


def notices(packages: list[dict]) -> str:
    """The licence texts of the crates, each text once, under the names of all that have it."""
    texts: dict[str, tuple[str, list[str]]] = {}
    bare = []
    for package in packages:
        if package["source"] is None:
            continue
        folder = pathlib.Path(package["manifest_path"]).parent
        # One folder down lies what a crate brings along: librdkafka, zstd, libjpeg-turbo.
        found = [*folder.iterdir(), *folder.glob("*/*")]
        files = sorted(one for one in found if one.is_file() and NOTICES.match(one.name))
        name = f"{package['name']} {package['version']}"
        if not files:
            bare.append(f"{name}: {package.get('license') or 'no licence stated'}")
        for file in files:
            text = file.read_text(errors="replace").strip()
            key = hashlib.sha256(" ".join(text.split()).encode()).hexdigest()
            texts.setdefault(key, (text, []))[1].append(name)
    parts = ["Licence texts of the crates in this program. Where a crate leaves a choice, both texts are here."]
    if bare:
        parts.append("Without a text of their own, under the licences that they name:\n" + "\n".join(bare))
    for text, names in sorted(texts.values(), key=lambda one: one[1]):
        parts.append(", ".join(dict.fromkeys(names)) + "\n\n" + text)
    return ("\n\n" + "-" * 80 + "\n\n").join(parts) + "\n"


if __name__ == "__main__":
    main()
