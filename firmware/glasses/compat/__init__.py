"""Other products' wire formats."""
