"""Commands for people; each module adds one to ``python -m clip_mamba``."""
