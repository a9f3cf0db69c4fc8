"""Batched decoding: free text or one of the labels, with the latency of single requests."""
