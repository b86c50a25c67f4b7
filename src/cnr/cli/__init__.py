"""The `cnr` command, one file per verb."""
