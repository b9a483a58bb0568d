"""The OpenAPI document against the specification's own schema, and what a reader of it relies on.

    document.py URL
"""

import json
import re
import sys
import urllib.request

from openapi_spec_validator import OpenAPIV31SpecValidator

VERBS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


def operations(document):
    for path, item in document["paths"].items():
        for verb, operation in item.items():
            if verb in VERBS:
                yield path, verb, operation


def references(value):
    """Every `$ref` in a value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "$ref":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def main():
    with urllib.request.urlopen(sys.argv[1], timeout=30) as response:
        document = json.load(response)
    problems = [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    problems += [f"operationId {name} is there twice" for name in set(ids) if ids.count(name) > 1]
    shapes = {}
    for path in document["paths"]:
        shapes.setdefault(re.sub(r"\{[^}]*\}", "{}", path), []).append(path)
    problems += [f"one path under several names: {same}" for same in shapes.values() if len(same) > 1]
    for path, verb, operation in operations(document):
        placed = re.findall(r"\{([^}]*)\}", path)
        named = [p["name"] for p in operation.get("parameters", []) if p["in"] == "path"]
        if sorted(placed) != sorted(named):
            problems.append(f"{verb} {path} has the parameters {named}")
    known = {f"#/components/{kind}/{name}" for kind, all_of in document["components"].items() for name in all_of}
    problems += [f"{name} is referred to and not there" for name in sorted(set(references(document)) - known)]
    used = set(references(document["paths"])) | set(references(document["components"]))
    unused = [f"#/components/schemas/{name}" for name in document["components"]["schemas"]]
    problems += [f"{name} is there and not referred to" for name in unused if name not in used and not name.endswith("Error")]
    if problems:
        sys.exit("\n".join(problems))
    print(f"checked {len(ids)} operations, {len(document['components']['schemas'])} schemas")


if __name__ == "__main__":
    main()
