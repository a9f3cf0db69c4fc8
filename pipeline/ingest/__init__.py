"""Reads the sources: files, folders and addresses become pairs, what cannot be read is quarantined."""
