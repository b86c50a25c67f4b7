"""cnr-server: the registry for Kubernetes applications."""

__version__ = "1.0.0"
