"""A wake word in plain MicroPython: models of microWakeWord, as ESPHome and Home Assistant run them.

What is heard becomes `features`. Nothing here is loaded before a wake word is asked for.
"""
