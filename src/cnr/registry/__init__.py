"""All rules of the registry. Knows no HTTP and no storage driver."""
