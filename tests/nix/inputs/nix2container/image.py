"""Makes layers and images that are the same, byte for byte, whenever they are made."""

import argparse
import hashlib
import io
import json
import os
import pathlib
import tarfile


def closure(graphs, ignore):
    """The store paths that the graph files name (path, deriver, number of references, references)."""
    paths = set()
    for graph in graphs:
        lines = iter(pathlib.Path(graph).read_text().splitlines())
        for path in lines:
            next(lines)
            for _ in range(int(next(lines))):
                next(lines)
            paths.add(path)
    return sorted(paths - set(ignore))


def entries(paths, roots):
    """What the layer holds: name in the image -> file here. A root's content lies at /."""
    found = {}

    def add(name, source):
        name = name.strip("/")
        while name and name not in found:
            found[name] = source
            name, source = os.path.dirname(name), None

    for path in paths:
        at = "/" if path in roots else path
        if os.path.isdir(path) and not os.path.islink(path):
            for folder, folders, files in os.walk(path):
                inner = os.path.relpath(folder, path)
                if inner != ".":
                    add(os.path.join(at, inner), folder)
                for name in files + [f for f in folders if os.path.islink(os.path.join(folder, f))]:
                    add(os.path.join(at, os.path.normpath(os.path.join(inner, name))), os.path.join(folder, name))
        else:
            add(at, path)
    return sorted(found.items())


def tar(items):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, source in items:
            entry = tarfile.TarInfo(name)
            entry.uname = entry.gname = "root"
            entry.mtime = 1
            if source is None or (os.path.isdir(source) and not os.path.islink(source)):
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
            elif os.path.islink(source):
                entry.type, entry.mode, entry.linkname = tarfile.SYMTYPE, 0o777, os.readlink(source)
                archive.addfile(entry)
            else:
                executable = os.stat(source).st_mode & 0o100
                entry.mode = 0o555 if executable else 0o444
                content = pathlib.Path(source).read_bytes()
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def make_layer(out, graphs, roots, ignore, beneath, history):
    known = set()
    for layer in beneath:
        known.update(json.loads(pathlib.Path(layer, "layer.json").read_text())["paths"])
    paths = [path for path in closure(graphs, ignore) if path not in known]
    content = tar(entries(paths, roots))
    out.mkdir()
    (out / "layer.tar").write_bytes(content)
    description = {
        "paths": paths,
        "digest": digest(content),
        "size": len(content),
        "history": json.loads(pathlib.Path(history).read_text()),
    }
    (out / "layer.json").write_text(json.dumps(description))


def make_image(out, config, arch, created, layers):
    blobs = out / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(media_type, content):
        name = digest(content)
        (blobs / name.removeprefix("sha256:")).write_bytes(content)
        return {"mediaType": media_type, "digest": name, "size": len(content)}

    descriptions = [json.loads(pathlib.Path(layer, "layer.json").read_text()) for layer in layers]
    image = {
        "created": created,
        "architecture": arch,
        "os": "linux",
        "config": json.loads(pathlib.Path(config).read_text()),
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in descriptions]},
        "history": [layer["history"] for layer in descriptions],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("application/vnd.oci.image.config.v1+json", json.dumps(image).encode()),
        "layers": [
            blob("application/vnd.oci.image.layer.v1.tar", pathlib.Path(layer, "layer.tar").read_bytes())
            for layer in layers
        ],
    }
    index = {
        "schemaVersion": 2,
        "manifests": [blob("application/vnd.oci.image.manifest.v1+json", json.dumps(manifest).encode())],
    }
    (out / "index.json").write_text(json.dumps(index))
    (out / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    layer = commands.add_parser("layer")
    layer.add_argument("out", type=pathlib.Path)
    for name in ("graphs", "roots", "ignore", "beneath"):
        layer.add_argument(f"--{name}", nargs="*", default=[])
    layer.add_argument("--history")
    image = commands.add_parser("image")
    image.add_argument("out", type=pathlib.Path)
    for name in ("config", "arch", "created"):
        image.add_argument(f"--{name}")
    image.add_argument("--layers", nargs="*", default=[])
    given = vars(parser.parse_args())
    {"layer": make_layer, "image": make_image}[given.pop("command")](**given)


main()
