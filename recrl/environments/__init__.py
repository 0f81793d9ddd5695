"""What is played: the protocols of environments and their goals, WebShop's and those of one's own.

`Environment` says what an environment gives, `Task` what goes with it: goals, splits, fingerprints. Collectors,
recipes, evaluation and comparison know these two alone. WebShop is one task (`recrl.environments.webshop`); any
Gymnasium environment that lists its valid actions becomes another by `recrl.GymTask`.
"""
