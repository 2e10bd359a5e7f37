"""The configuration: typed dataclasses (schema, variants, workloads) and pure functions on them.

Values are YAML files under conf/.
"""
