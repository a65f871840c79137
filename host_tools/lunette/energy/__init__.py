"""How long the glasses last: days of use, played in virtual time by the real firmware (docs/power.md)."""
