"""One training method a module, each a recipe."""
