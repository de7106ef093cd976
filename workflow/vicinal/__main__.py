"""``python -m vicinal``: what ./reproduce runs."""

from vicinal.cli import main
from vicinal.errors import run

if __name__ == "__main__":
    run(main)
