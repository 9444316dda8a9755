"""The Synthesize dock."""
