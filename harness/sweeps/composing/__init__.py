"""From a command line and YAML files to the configuration of a sweep."""
