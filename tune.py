"""``xent tune`` from the tree itself, without an installation: python tune.py --help"""

from src.commands.tune import main
from src.config.guard import start

if __name__ == "__main__":
    start(main)
