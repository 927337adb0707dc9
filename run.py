"""python run.py …: the same as the `socialcrm` command."""

from socialcrm.cli import app

if __name__ == "__main__":
    app()
