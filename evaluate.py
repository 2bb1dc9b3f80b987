"""``xent evaluate`` from the tree itself, without an installation: python evaluate.py --help"""

from src.commands.evaluate import main
from src.config.guard import start

if __name__ == "__main__":
    start(main)
