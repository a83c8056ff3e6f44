"""Tests of baez_pipeline.statistics."""
