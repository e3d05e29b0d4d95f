"""``python -m tailornas``."""

from tailornas.cli import main

main()
