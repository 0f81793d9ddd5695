"""The commands of `recrl`: what each can be told, and what it calls and prints.

Each takes one dataclass, whose fields are its flags (`recrl.settings`). Where the library has such a dataclass the
command takes it, or one that inherits from it and adds what only the command does: print, draw, push.
"""
