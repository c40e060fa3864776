"""What the container asks for: the bundle's config.json as typed values, the environment's rules, the configuration."""
