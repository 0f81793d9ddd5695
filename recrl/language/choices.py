"""What can be chosen of a language model that plays; without heavy imports, for the flags of commands."""

ANSWERS = ("score", "text", "tools")  # how it acts, see `recrl.policies.language`
ENGINES = ("transformers", "vllm")  # what runs it, see `recrl.language.engines`
