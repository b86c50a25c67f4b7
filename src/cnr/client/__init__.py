"""HTTP clients for registries. Imports the domain only."""
