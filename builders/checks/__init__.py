"""The checks of a pushed version, one step each: scan, lock, introspect, predict. Every step writes one report."""
