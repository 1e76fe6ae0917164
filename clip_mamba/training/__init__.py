"""The parts of a pretraining run: the Lightning module, its callbacks and its trainer."""
