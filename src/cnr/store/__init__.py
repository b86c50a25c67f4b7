"""Where records and bytes live: two small contracts (`base`), and a driver for each engine."""
