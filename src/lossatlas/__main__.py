"""`python -m lossatlas`: the command line, where a program must be a module (such as under MPI)."""

from lossatlas.cli import main

if __name__ == "__main__":
    main()
