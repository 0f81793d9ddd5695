"""Language models on the same decisions: prompts within a token budget, the chat template, exact log-probabilities."""
