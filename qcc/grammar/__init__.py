"""The grammar of configuration files: YAML that remembers its lines, and typed sections."""
