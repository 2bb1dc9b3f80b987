"""``xent train`` from the tree itself, without an installation: python train.py --help"""

from src.commands.train import main
from src.config.guard import start

if __name__ == "__main__":
    start(main)
