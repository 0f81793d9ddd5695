"""Records that others made become episodes: people's sessions, WebShop's imitation file, rows of our own."""
