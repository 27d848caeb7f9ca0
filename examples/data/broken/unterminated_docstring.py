"""A module whose docstring never ends.

import os

print(os.getcwd())
