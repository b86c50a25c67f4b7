"""Stores and backups of old servers: pure readers, and the import and export that use them with the registry."""
