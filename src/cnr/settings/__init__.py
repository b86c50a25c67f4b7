"""The table of settings, one module per subject; cnr.config puts them together."""
