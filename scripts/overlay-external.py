#!/usr/bin/env python3
"""Turns the overlay test sets of other projects into one file of cases for tests/overlay_external.rs.

usage: overlay-external.py SETS_DIR OUT_DIR [--fetch]

SETS_DIR holds checkouts of jts, geos, iOverlay, Clipper2, martinez and polygon-clipping (those
that are missing are left out; --fetch clones them with git). Their licences differ, so nothing of
them is kept in this repository. Then run:

  ONEMAP_TEST_DATA=OUT_DIR cargo test --release --test overlay_external -- --nocapture

A case is a line: set, name, and the multipolygons A and B as JSON, separated by tabs. A case with
one polygon only is laid over itself. What has no polygons is left out.
"""
import json
import re
import struct
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

SETS = {
    "jts": ("https://github.com/locationtech/jts", "modules/tests/src/test/resources/testxml"),
    "geos": ("https://github.com/libgeos/geos", "tests/xmltester/tests"),
    "iOverlay": ("https://github.com/iShape-Rust/iOverlay", "iOverlay/tests/boolean"),
    "Clipper2": ("https://github.com/AngusJohnson/Clipper2", "Tests"),
    "martinez": ("https://github.com/w8r/martinez", "test"),
    "polygon-clipping": ("https://github.com/mfogel/polygon-clipping", "test/end-to-end"),
}


def wkb(data):
    """Polygons of a WKB geometry, Z and SRID left out."""
    at = 0

    def read():
        nonlocal at
        order = "<" if data[at] == 1 else ">"
        (kind,) = struct.unpack_from(order + "I", data, at + 1)
        at += 5
        if kind & 0x20000000:
            at += 4
        dimensions = 2 + bool(kind & 0x80000000) + bool(kind & 0x40000000)
        kind &= 0xFFFF
        dimensions += {0: 0, 1: 1, 2: 1, 3: 2}[kind // 1000]
        kind %= 1000

        def points(count):
            nonlocal at
            values = struct.unpack_from(f"{order}{count * dimensions}d", data, at)
            at += 8 * count * dimensions
            return [list(values[i : i + 2]) for i in range(0, len(values), dimensions)]

        def number():
            nonlocal at
            (value,) = struct.unpack_from(order + "I", data, at)
            at += 4
            return value

        if kind == 1:
            points(1)
            return []
        if kind == 2:
            points(number())
            return []
        if kind == 3:
            return [[points(number()) for _ in range(number())]]
        return [polygon for _ in range(number()) for polygon in read()]

    return read()


def wkt(text):
    """Polygons of a WKT geometry: groups of rings, found by their brackets."""
    head = text.upper()
    if "POLYGON" not in head or "EMPTY" == head.split()[-1]:
        return []
    polygons = []
    for found in re.finditer(r"(MULTI)?POLYGON\s*(?:Z|M|ZM)?\s*(\()", head):
        depth, start = 0, found.start(2)
        for at in range(start, len(text)):
            depth += (text[at] == "(") - (text[at] == ")")
            if depth == 0:
                break
        body = text[start : at + 1]
        nested = re.sub(r"[^(),]+", lambda m: json.dumps(m.group().strip()) if m.group().strip() else "", body)
        nested = nested.replace("(", "[").replace(")", "]")
        try:
            groups = json.loads(nested)
        except json.JSONDecodeError:
            continue
        groups = groups if found.group(1) else [groups]
        for group in groups:
            if isinstance(group, list):
                polygons.append([[[float(v) for v in p.split()[:2]] for p in ring] for ring in group if isinstance(ring, list)])
    return polygons


def geometry(text):
    text = " ".join(text.split())
    if not text:
        return []
    if re.fullmatch(r"[0-9A-Fa-f ]+", text):
        return wkb(bytes.fromhex(text.replace(" ", "")))
    return wkt(text)


def of_xml(root):
    for path in sorted(root.rglob("*.xml")):
        try:
            tree = ElementTree.parse(path)
        except ElementTree.ParseError:
            continue
        for number, case in enumerate(tree.getroot().iter("case")):
            parts = []
            for name in ("a", "b"):
                node = case.find(name)
                try:
                    parts.append(geometry(node.text or "") if node is not None else [])
                except (ValueError, struct.error, KeyError, IndexError):
                    parts.append([])
            yield f"{path.relative_to(root)}#{number}", parts[0], parts[1]


def of_ioverlay(root):
    def rings(value):
        """Contours of a shape, shapes or lists of them, whatever the depth."""
        if not value:
            return []
        if isinstance(value[0], (int, float)):
            return [value]
        if isinstance(value[0], list) and value[0] and isinstance(value[0][0], (int, float)):
            return [value]
        return [ring for inner in value for ring in rings(inner)]

    for path in sorted(root.glob("*.json")):
        case = json.loads(path.read_text())
        # Contours have no roles: each is taken as a polygon of its own.
        a, b = ([[ring] for ring in rings(case.get(key, []))] for key in ("subj", "clip"))
        yield path.stem, a, b


def of_clipper(root):
    path = root / "Polygons.txt"
    if not path.exists():
        return
    for case in path.read_text().split("CAPTION:")[1:]:
        name = case.split(".")[0].strip()
        parts = {"SUBJECTS": [], "CLIPS": []}
        into = None
        for line in case.splitlines()[1:]:
            word = line.strip()
            if word in ("SUBJECTS", "CLIPS", "SUBJECTS_OPEN"):
                into = word
            elif into in parts and word:
                numbers = [float(v) for v in re.findall(r"-?\d+(?:\.\d+)?", word)]
                ring = [numbers[i : i + 2] for i in range(0, len(numbers) - 1, 2)]
                if len(ring) > 2:
                    parts[into].append([ring])
        yield name, parts["SUBJECTS"], parts["CLIPS"]


def of_geojson_file(path):
    def polygons(shape):
        if shape is None:
            return []
        if shape.get("type") == "Polygon":
            return [shape["coordinates"]]
        if shape.get("type") == "MultiPolygon":
            return shape["coordinates"]
        if shape.get("type") == "GeometryCollection":
            return [p for inner in shape["geometries"] for p in polygons(inner)]
        return []

    data = json.loads(path.read_text())
    features = data.get("features", [data])
    return [polygons(f.get("geometry", f)) for f in features]


def of_geojson(root, names):
    for path in sorted(root.rglob(names)):
        try:
            shapes = [shape for shape in of_geojson_file(path) if shape]
        except (ValueError, AttributeError, KeyError, TypeError):
            continue
        if shapes:
            name = str(path.relative_to(root))
            yield name, shapes[0], [p for shape in shapes[1:2] for p in shape]


def cases(name, root):
    if name in ("jts", "geos"):
        return of_xml(root)
    if name == "iOverlay":
        return of_ioverlay(root)
    if name == "Clipper2":
        return of_clipper(root)
    return of_geojson(root, "args.geojson" if name == "polygon-clipping" else "*.geojson")


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sets, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "overlay-cases.tsv", "w") as file:
        for name, (url, folder) in SETS.items():
            if "--fetch" in sys.argv and not (sets / name).exists():
                subprocess.run(["git", "clone", "--quiet", "--depth", "1", url, sets / name], check=True)
            count = 0
            root = sets / name / folder
            if not root.exists():
                print(f"{name}: not there")
                continue
            for case, a, b in cases(name, root):
                if a or b:
                    a, b = (a or b), (b or a)
                    file.write("\t".join([name, case, json.dumps(a), json.dumps(b)]) + "\n")
                    count += 1
            print(f"{name}: {count} cases")


if __name__ == "__main__":
    main()
