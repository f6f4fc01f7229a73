"""`python -m workers`: one process per GPU, or one on the CPU; whoever dies is started again."""

from workers.process.launcher import main

if __name__ == "__main__":
    main()
