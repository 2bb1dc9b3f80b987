"""``xent report`` from the tree itself, without an installation: python report.py --help"""

from src.commands.report import main
from src.config.guard import start

if __name__ == "__main__":
    start(main)
