"""``python -m fedopt``: the command, where its script is not on the path."""

from fedopt.cli import main

if __name__ == "__main__":
    main()
