"""Estimates time, memory and price of a run before it is started."""
