"""What each recipe can be told, apart from what it has of transformers and TRL: the options that its `--help` shows.

For each recipe a dataclass says what it learns from, and one holds the trainer's settings that most runs look at, with
our defaults. The recipe's module adds to these what transformers' `TrainingArguments` or TRL's configurations have
beside. Nothing heavy is imported here, so that `--help` answers at once.
"""
