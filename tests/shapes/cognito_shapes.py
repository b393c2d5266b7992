"""Writes the shapes of a user pool's settings, from botocore's model of Amazon Cognito's API, to cognito-idp.json.

    python tests/shapes/cognito_shapes.py            # writes the file
    python tests/shapes/cognito_shapes.py --check    # fails if the file is not as this botocore has it

replay's table of settings, the stand-in for UpdateUserPool and the random user pools of the tests follow these shapes.
"""

import json
import sys
from pathlib import Path

import botocore.loaders

FILE = Path(__file__).with_name("cognito-idp.json")
ROOTS = [
    "UserPoolType",
    "UpdateUserPoolRequest",
    "GetUserPoolMfaConfigResponse",
    "SetUserPoolMfaConfigRequest",
]


def shapes():
    model = botocore.loaders.Loader().load_service_model("cognito-idp", "service-2")["shapes"]
    found, waiting = {}, list(ROOTS)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name], references = extract(model[name])
            waiting += references
    return dict(sorted(found.items()))


def extract(shape):
    """A shape with its type, members, required members, values and limits, and the shapes that it names."""
    kept = {key: shape[key] for key in ("type", "required", "enum", "min", "max") if shape.get(key) is not None}
    members = {name: member["shape"] for name, member in shape.get("members", {}).items()}
    if members:
        kept["members"] = members
    for role in ("member", "key", "value"):
        if role in shape:
            kept[role] = shape[role]["shape"]
    return kept, [*members.values(), *(kept[role] for role in ("member", "key", "value") if role in kept)]


def text():
    return json.dumps(shapes(), indent=1) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(None if FILE.read_text() == text() else f"{FILE} is stale. Run: python {__file__}")
    FILE.write_text(text())
