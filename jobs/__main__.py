"""`python -m jobs` is the command `lodepack`, for Ray jobs submitted with their working directory."""

from jobs.cli import main

if __name__ == "__main__":
    main()
