"""The bench: ``python -m tests.bench`` from the checkout, or ``make bench``."""
