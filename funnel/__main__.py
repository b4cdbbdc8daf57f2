"""`python -m funnel`: the command line, where its script is not on the path."""

from funnel.cli import main

if __name__ == "__main__":
    main()
