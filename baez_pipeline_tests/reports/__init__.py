"""Tests of baez_pipeline.reports."""
