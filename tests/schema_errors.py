"""The errors that its JSON Schema finds in a document."""

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from mmcore.reporting import KINDS, schema

SCHEMAS = {kind: schema(kind) for kind in (*KINDS, "head")}
REGISTRY = Registry().with_resources(
    (each["$id"], Resource.from_contents(each)) for each in SCHEMAS.values()
)


def errors(document):
    """The errors that its schema finds in a document, each with its place."""
    validator = Draft202012Validator(SCHEMAS[document["kind"]], registry=REGISTRY)
    return [
        f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(document)
    ]
