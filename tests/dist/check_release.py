"""Checks the files of a release with programs that did not write them.

    python tests/dist/check_release.py DIR

- The checksums, with sha256sum.
- The zip files of the functions, with Python's own reader: one executable file, whose content has its checksum.
- The bill of materials, with the JSON schema and the library of the CycloneDX project. The schema does not require
  that references lead to a component. This file does.
"""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def main(folder):
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    functions = sorted(folder.glob("functions/*/*.zip"))
    for path in functions:
        check_function(path)
    print(f"{len(functions)} functions, {sum(path.stat().st_size for path in functions) / 1e6:.1f} MB")
    check_bom(folder / "bom.cdx.json")


def check_function(path):
    with zipfile.ZipFile(path) as archive:
        (file,) = archive.infolist()
        mode = file.external_attr >> 16
        if (file.filename, mode, archive.testzip()) != ("bootstrap", 0o100755, None):
            sys.exit(f"{path}: {file.filename}, mode {mode:o}, first damaged file: {archive.testzip()}")


def check_bom(path):
    text = path.read_text()
    bom = json.loads(text)
    problem = JsonStrictValidator(SchemaVersion.from_version(bom["specVersion"])).validate_str(text)
    if problem:
        sys.exit(f"{path}: {problem.data.json_path}: {problem.data.message}")
    components = {component["bom-ref"]: component for component in bom["components"]}
    if len(components) != len(bom["components"]):
        sys.exit(f"{path}: a bom-ref occurs twice")
    known = {bom["metadata"]["component"]["bom-ref"], *components}
    edges = {node["ref"]: node.get("dependsOn", []) for node in bom["dependencies"]}
    unknown = {ref for node in edges.items() for ref in (node[0], *node[1])} - known
    if unknown:
        sys.exit(f"{path}: dependencies name {sorted(unknown)}, which are no components")
    reached, waiting = set(), [bom["metadata"]["component"]["bom-ref"]]
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting += edges[ref]
    if reached != known:
        sys.exit(f"{path}: nothing depends on {sorted(known - reached)}")
    linked = sum(component["scope"] == "required" for component in components.values())
    print(f"{path.name}: CycloneDX {bom['specVersion']}, {len(components)} components, {linked} of them linked or served")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
