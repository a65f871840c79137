"""How good speech is: what is said, measures of it, a recogniser; for the bench of the sound path."""
