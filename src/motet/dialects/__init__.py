"""Voices: other systems' own APIs, translated to documents of the kernel and back. Each is an ordinary client of it."""
