"""The protocol adapters and the two entry points (`asgi`, `wsgi`). Importing them builds nothing."""
