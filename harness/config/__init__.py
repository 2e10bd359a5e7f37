"""The configuration: typed dataclasses (schema.py) and pure functions on them. Values are YAML files under conf/."""
