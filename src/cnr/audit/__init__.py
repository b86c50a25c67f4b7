"""The audit log: written by servers and by verbs on a store, read by `cnr audit`."""
