"""Proximal policy optimisation of a choice scorer."""
