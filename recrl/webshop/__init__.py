"""The WebShop environment: catalogue, goals, search, pages, reward. Imports no torch."""
