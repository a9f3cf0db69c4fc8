"""What made each version, and whether that still holds."""
