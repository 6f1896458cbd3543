"""Every rendered object against the schema of its kind, offline and with unknown fields refused.

Kubernetes' own kinds come with the pinned kubernetes-validate. Kinds of operators are judged by
the CustomResourceDefinitions in `../shared/crds` where that folder exists; elsewhere they are
counted as unchecked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from kubernetes_validate import utils as kubernetes
from referencing import Registry, Resource

from tools.checks import ROOT
from tools.deploy_check.outcome import Outcome
from tools.deploy_check.renders import Manifest, Render, title

KUBERNETES_VERSION = "1.35"
CRDS = ROOT.parent / "shared" / "crds"
# Groups of the API that every cluster has; all others come with an operator.
_BUILT_IN = re.compile(r"^(v1|[a-z]+/v\w+|[a-z.]+\.k8s\.io/v\w+)$")
_GATEWAY_API = "gateway.networking.k8s.io/"


def is_built_in(item: Manifest) -> bool:
    """Whether every cluster knows the object's kind."""
    api_version = item["apiVersion"]
    return bool(_BUILT_IN.match(api_version)) and not api_version.startswith(_GATEWAY_API)


@cache
def built_in_validator(kind: str, api_version: str) -> jsonschema.Draft202012Validator:
    """What judges objects of a built-in kind; LookupError where Kubernetes has no such kind."""
    # As kubernetes_validate.validate does, which reads all definitions anew for each object.
    version = [
        known for known in kubernetes.all_versions() if known.startswith(f"{KUBERNETES_VERSION}.")
    ][-1]
    folder = f"kubernetes-json-schema/v{version}-local-strict"
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    try:
        schema = kubernetes.schema_contents(f"{folder}/{kind.lower()}-{group}.json", version)
    except FileNotFoundError:
        raise LookupError(f"Kubernetes {KUBERNETES_VERSION} has no {api_version} {kind}") from None
    definitions = kubernetes.schema_contents(f"{folder}/_definitions.json", version)
    registry: Registry[Any] = Resource.from_contents(schema) @ Registry()
    return jsonschema.Draft202012Validator(
        schema, registry=Resource.from_contents(definitions) @ registry
    )


def closed(schema: Any) -> Any:
    """An openAPIV3Schema as JSON Schema: nothing beyond what is declared, `nullable` heeded."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict):
        result["properties"] = {key: closed(value) for key, value in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            result.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        result.pop("anyOf", None)
        result["type"] = ["integer", "string"]
    if schema.get("nullable") is True and isinstance(schema.get("type"), str):
        result["type"] = [schema["type"], "null"]
    # Of numbers JSON Schema knows no format, and Go's regular expressions are not Python's.
    result.pop("format", None)
    return result


def crd_validators(folder: Path) -> Mapping[tuple[str, str], jsonschema.Draft202012Validator]:
    """What judges an operator's kinds, by (apiVersion, kind); empty where the folder is not."""
    validators = {}
    for path in sorted(folder.glob("*.yaml")):
        spec = yaml.load(path.read_text(), yaml.CSafeLoader)["spec"]
        for version in spec["versions"]:
            schema = closed(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
            validators[key] = jsonschema.Draft202012Validator(schema)
    return validators


def object_problems(item: Manifest, judge: jsonschema.Draft202012Validator) -> list[str]:
    """What the schema of its kind finds in an object."""
    return [
        f"{title(item)}: {'.'.join(str(step) for step in error.absolute_path)}: {error.message}"
        for error in judge.iter_errors(item)
    ]


def check_schemas(renders: Iterable[Render], crds: Path = CRDS) -> Outcome:
    """All objects of all renders, counted by kind; the same object is judged once."""
    outcome, operators, judged = Outcome(), crd_validators(crds), dict[str, list[str]]()
    for render in renders:
        for item in render.objects:
            kind, api_version = item["kind"], item["apiVersion"]
            outcome.kinds[kind] += 1
            text = json.dumps(item, sort_keys=True)
            if text in judged:
                found = judged[text]
            elif is_built_in(item):
                try:
                    found = object_problems(item, built_in_validator(kind, api_version))
                except LookupError as error:
                    found = [f"{title(item)}: {error}"]
            elif judge := operators.get((api_version, kind)):
                found = object_problems(item, judge)
            else:
                outcome.unchecked[kind] += 1
                continue
            judged[text] = found
            outcome.look(f"{render.name}: {problem}" for problem in found)
    return outcome
