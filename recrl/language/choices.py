"""What can be chosen of a language model; without heavy imports, for the flags of commands."""

ANSWERS = ("score", "text", "tools")  # how it acts, see `recrl.policies.language`
ENGINES = ("transformers", "vllm")  # what runs it, see `recrl.language.engines`
MOST_WORDS = 16  # of each text of a page, such as a title, in conversations with tools
MOST_WORDS_HELP = {"help": "With tools: most words of each text of a page, such as a title; null cuts nothing."}
CHAT_TEMPLATE_HELP = {
    "help": "Take another chat template: a file, or the name of one that TRL knows, such as qwen2_5, which has tools."
}
