"""Makes JSON schemas, as kubeconform reads them, of CustomResourceDefinitions: crd_schemas.py INTO FILE…

Strict: a field that the definition does not know is refused, as the API server's pruning would drop it in silence. Files
that are not there are passed over (a shell's pattern without a match); none at all is an error.
"""

import json
import pathlib
import sys

import yaml


def strict(schema):
    """The definition's schema, in which objects that list their fields hold no others."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    made = {}
    for key, value in schema.items():
        # Fields may have any name, `properties` and `type` among them: only their values are schemas.
        made[key] = {name: strict(one) for name, one in value.items()} if key == "properties" else strict(value)
    if "properties" in made and "additionalProperties" not in made and not made.get("x-kubernetes-preserve-unknown-fields"):
        made["additionalProperties"] = False
    return made


def main(into, files):
    written = 0
    for file in map(pathlib.Path, files):
        if not file.exists():
            continue
        for definition in yaml.safe_load_all(file.read_text()):
            if not definition or definition.get("kind") != "CustomResourceDefinition":
                continue
            spec = definition["spec"]
            for version in spec["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                place = pathlib.Path(into, spec["group"], f"{spec['names']['kind'].lower()}_{version['name']}.json")
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(json.dumps(schema))
                written += 1
    if not written:
        sys.exit(f"no definition in {', '.join(files)}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
