"""Tests of the golden values."""
