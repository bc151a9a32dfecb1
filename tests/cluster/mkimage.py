#!/usr/bin/env python3
"""mkimage.py NAME:TAG,... ARCHIVE CONFIG FOLDER...: an OCI image as an archive for `ctr images import`, under all of its names.
A layer for each folder; CONFIG is the image's in JSON, or `from BASE`: the folders lie over the image of that archive. A layer is packed
once: FOLDER.layer is taken again as long as it is newer than the folder."""

import gzip
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile

OCI = "application/vnd.oci.image."


class Hashing:
    """Writes on, and says the SHA-256 and the size of what went through."""

    def __init__(self, out):
        self.out, self.sha, self.size = out, hashlib.sha256(), 0

    def write(self, data):
        self.sha.update(data)
        self.size += len(data)
        return self.out.write(data)

    def flush(self):
        self.out.flush()


def owned_by_root(entry):
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = 0
    return entry


def layer(folder):
    """Packs a folder; gives the path, and the digests packed and not."""
    path = folder.rstrip("/") + ".layer"
    known = path + ".json"
    if os.path.exists(known) and os.path.getmtime(known) >= os.path.getmtime(folder):
        with open(known) as file:
            return {"path": path} | json.load(file)
    with open(path, "wb") as file:
        packed = Hashing(file)
        with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as zipped:
            plain = Hashing(zipped)
            with tarfile.open(fileobj=plain, mode="w|") as tar:
                for name in sorted(os.listdir(folder)):
                    tar.add(os.path.join(folder, name), arcname=name, filter=owned_by_root)
    made = {"digest": packed.sha.hexdigest(), "size": packed.size, "diff": plain.sha.hexdigest()}
    with open(known, "w") as file:
        json.dump(made, file)
    return {"path": path} | made


def unpacked(base, into):
    """The config of an archive's image, and its layers as files."""
    with tarfile.open(base) as tar:

        def blob(digest):
            return tar.extractfile("blobs/" + digest.replace(":", "/"))

        of_manifest = json.load(tar.extractfile("index.json"))["manifests"][0]
        manifest = json.load(blob(of_manifest["digest"]))
        image = json.load(blob(manifest["config"]["digest"]))
        layers = []
        for described, diff in zip(manifest["layers"], image["rootfs"]["diff_ids"], strict=True):
            digest = described["digest"].removeprefix("sha256:")
            path = os.path.join(into, digest)
            with open(path, "wb") as file:
                shutil.copyfileobj(blob(described["digest"]), file)
            layers.append({"path": path, "digest": digest, "size": described["size"], "diff": diff.removeprefix("sha256:")})
    return image["config"], layers


def main():
    names, archive, config, *folders = sys.argv[1:]
    with tempfile.TemporaryDirectory(dir=os.path.dirname(archive)) as into:
        if config.startswith("from "):
            settings, layers = unpacked(config.removeprefix("from "), into)
        else:
            settings, layers = json.loads(config), []
        write(names, archive, settings, layers + [layer(folder) for folder in folders])


def write(names, archive, settings, layers):
    with tarfile.open(archive + ".part", "w") as tar:

        def put(path, data):
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))

        def blob(kind, value):
            data = json.dumps(value).encode()
            digest = hashlib.sha256(data).hexdigest()
            put("blobs/sha256/" + digest, data)
            return {"mediaType": OCI + kind, "digest": "sha256:" + digest, "size": len(data)}

        put("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        for made in {made["digest"]: made for made in layers}.values():
            tar.add(made["path"], arcname="blobs/sha256/" + made["digest"])
        rootfs = {"type": "layers", "diff_ids": ["sha256:" + made["diff"] for made in layers]}
        of_config = blob(
            "config.v1+json",
            {"architecture": "amd64", "os": "linux", "config": settings, "rootfs": rootfs},
        )
        of_layers = [
            {"mediaType": OCI + "layer.v1.tar+gzip", "digest": "sha256:" + made["digest"], "size": made["size"]}
            for made in layers
        ]
        manifest = blob(
            "manifest.v1+json",
            {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "config": of_config, "layers": of_layers},
        )
        named = [
            manifest
            | {
                "annotations": {
                    "io.containerd.image.name": name,
                    "org.opencontainers.image.ref.name": name.rsplit(":", 1)[1],
                }
            }
            for name in names.split(",")
        ]
        index = {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": named}
        put("index.json", json.dumps(index).encode())
    shutil.move(archive + ".part", archive)


main()
