"""The registry's nouns: pure values and rules. Nothing here reads a file, a socket or a clock."""
