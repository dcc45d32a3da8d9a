"""Writes the schemas that manifests are compared with, as kubeconform looks for them.

Arguments: the version of Kubernetes, the directory to write to, and the files of custom resource definitions. The schemas of
Kubernetes are those that the package kubernetes-validate brings. Nothing may be in a manifest that its schema does not have.
"""

import json
import pathlib
import sys

import kubernetes_validate
import yaml


def closed(schema):
    """The same schema, without members that it does not name."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: closed(part) for name, part in schema.items()}
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and not is_open:
        parts["additionalProperties"] = False
    return parts


version, directory, definitions = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
directory.mkdir(parents=True)
brought = pathlib.Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"v{version}-local-strict"
for path in brought.glob("*.json"):
    # They name themselves and each other by the server that they come from, instead of by their files.
    schema = json.loads(path.read_text().replace('"/api/_definitions.json', '"_definitions.json'))
    schema.pop("$id", None)
    (directory / path.name).write_text(json.dumps(schema))
for path in definitions:
    spec = yaml.safe_load(pathlib.Path(path).read_text())["spec"]
    group, kind = spec["group"].split(".")[0], spec["names"]["kind"].lower()
    for served in spec["versions"]:
        schema = closed(served["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = {"type": "object"}
        (directory / f"{kind}-{group}-{served['name']}.json").write_text(json.dumps(schema))
