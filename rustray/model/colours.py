"""The colours of all panels: middle tones that colour-blind people tell apart, on light and on dark pages.

After Okabe and Ito, Color Universal Design, 2008, made a little darker or lighter where a page needs it. What a colour
means is the same in every panel, and none is the only sign of anything: names, numbers or marks say it too.
"""

from __future__ import annotations

BLUE, SKY, GREEN, ORANGE = "#2b83c6", "#6fb9e8", "#14976f", "#e09a14"
VERMILION, PURPLE, GREY = "#d55e2e", "#b779a6", "#8f959b"
OLIVE, BROWN = "#a3a13c", "#9a7454"

DONE, RUNNING, WAITING, FAILED, SUSPENDED, CANCELLED = GREEN, BLUE, GREY, VERMILION, PURPLE, BROWN

LEVELS = ("#eab93a", "#62b77c", "#3390a0", "#5a5597")
"""Of the queues, the most urgent first: from light to dark, as viridis has it."""

FUNCTIONS = (BLUE, ORANGE, GREEN, PURPLE, SKY, OLIVE, "#6c6fb5")
"""Of functions and nodes: vermilion and brown are left out, for they mean that a task has failed or was stopped."""

HEAT = ("#dcebf7", "#a9cfec", "#6fb0dd", "#3b8cc9", "#1d66a6", "#0d3f74")
"""From little to much. On the first three the text is dark, on the others light."""

TRACK = "#8f959b4d"
"""What a bar has not filled."""
DASHED = f"repeating-linear-gradient(90deg, {GREY} 0 4px, transparent 4px 7px) center / 100% 2px no-repeat"
"""The swatch of lines that are dashed: a background, as CSS has it."""

MEMORY_OF_COLOURS = 500


class Colours:
    """One colour a name, which it keeps as long as it is remembered. A new one gets the colour that is free, or else
    that of the name which was asked for longest ago."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}
        self._asked = dict.fromkeys(FUNCTIONS, 0)
        """When each colour was given last, in times that one was asked for."""
        self._times = 0

    def __getitem__(self, name: str) -> str:
        """The colour of this name."""
        found = self._of.pop(name, None) or self._stalest()
        self._of[name] = found  # the last one asked for is the last one here
        self._times += 1
        self._asked[found] = self._times
        if len(self._of) > MEMORY_OF_COLOURS:
            del self._of[next(iter(self._of))]
        return found

    def _stalest(self) -> str:
        return min(FUNCTIONS, key=lambda color: self._asked[color])


def heat(fraction: float) -> tuple[str, str]:
    """(colour of a field, colour of the text on it) of a value from 0 to 1."""
    at = min(len(HEAT) - 1, max(0, int(fraction * len(HEAT))))
    return HEAT[at], "#16202a" if at < 3 else "#ffffff"
