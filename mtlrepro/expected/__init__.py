"""`expected/`: what the papers print, as data, and what is known about it. No figure of ours, no code of a method."""
