"""Wake words: models of microWakeWord, made into what the glasses run, and run here."""
