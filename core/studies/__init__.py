"""Studies: grids of runs that answer one question each, with everything that must be equal held equal."""
