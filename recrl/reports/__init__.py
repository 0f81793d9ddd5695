"""For people: an episode in the terminal, and a run as one page. Reads what others have written; trains nothing."""
