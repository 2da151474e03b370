"""Run the tool as ``python -m release_tool``."""

from release_tool.cli import main

if __name__ == "__main__":
    main()
