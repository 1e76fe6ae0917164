"""Corpora, shards, zero-shot tasks and held-out images."""
