"""The environment as an OpenEnv server, for trainers that play over the network."""
