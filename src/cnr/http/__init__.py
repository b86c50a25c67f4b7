"""What every protocol adapter shares: routing, bodies, error rendering. Knows no registry rule."""
