"""Checks a bill of materials against the JSON schema of CycloneDX, with the library of the CycloneDX project.

    python tests/dist/check_bom.py FILE

The schema does not say that references lead somewhere, and which packages are linked. So this file checks that too.
"""

import json
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def main(path):
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
