"""Prepares a pod as Kubernetes would, and asks the program for the settings that are in force in it.

Arguments: the program, and an empty directory that stands for the root of the pod's file system. Input: the manifests.
Output: that of `config show`. Volumes of ConfigMaps and Secrets are written where they are mounted, the command of the
init container runs, then the program checks its configuration, and the files that it names, in the environment of its container.
"""

import pathlib
import re
import subprocess
import sys

import yaml

program, root = sys.argv[1], pathlib.Path(sys.argv[2])
manifests = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(sys.stdin) if one}
(stateful,) = [one for (kind, _), one in manifests.items() if kind == "StatefulSet"]
pod = stateful["spec"]["template"]["spec"]
name = stateful["metadata"]["name"] + "-0"
(preparing,), (serving,) = pod["initContainers"], pod["containers"]
claimed = {claim["metadata"]["name"] for claim in stateful["spec"]["volumeClaimTemplates"]}
volumes = {volume["name"]: volume for volume in pod["volumes"]}
mounts = {}

for container in (preparing, serving):
    for mount in container["volumeMounts"]:
        assert mount["name"] in claimed | volumes.keys(), f"{mount['name']} is mounted, and no volume"
        path = root / mount["mountPath"].lstrip("/")
        path.mkdir(parents=True, exist_ok=True)
        mounts[mount["mountPath"]] = str(path)
        volume = volumes.get(mount["name"], {})
        files = {}
        if "configMap" in volume:
            files = manifests["ConfigMap", volume["configMap"]["name"]]["data"]
        elif ("Secret", volume.get("secret", {}).get("secretName")) in manifests:
            files = manifests["Secret", volume["secret"]["secretName"]].get("stringData") or {}
        for file, text in files.items():
            (path / file).write_text(text)


def make_certificate(path):
    """What a Secret of type kubernetes.io/tls has that the chart does not make, with its authority."""
    files = ["-keyout", path / "tls.key", "-out", path / "tls.crt"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    subprocess.run([*made, "-subj", "/CN=ledger", *files], check=True, stderr=subprocess.DEVNULL)
    (path / "ca.crt").write_text((path / "tls.crt").read_text())


if "tls" in volumes:
    make_certificate(root / "etc/tls")


def inside(text):
    """The same text, with the paths of the pod's file system."""
    paths = "|".join(map(re.escape, sorted(mounts, key=len, reverse=True)))
    return re.sub(f"({paths})(?=/)", lambda found: mounts[found[1]], text)


subprocess.run([*preparing["command"], *map(inside, preparing["args"])], check=True, env={"PATH": "/usr/bin:/bin"})
# The files that it names are those of the pod.
prepared = root / "run/realm-ledger/realm-ledger.toml"
prepared.write_text(inside(prepared.read_text()))
environment = {}
for variable in serving["env"]:
    field = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
    assert field in (None, "metadata.name"), field
    environment[variable["name"]] = name if field else inside(variable["value"])
subprocess.run([program, "config", "check"], check=True, env=environment, stdout=sys.stderr)
subprocess.run([program, "config", "show", "--format", "json"], check=True, env=environment)
keys = root / "var/lib/realm-ledger-keys/keys"
given = {key for key in ("secret", "signing-keys") if (root / "etc/realm-ledger-secret" / key).exists()}
assert {path.name for path in keys.iterdir()} == given, "the keys that are given are where the program reads them"
