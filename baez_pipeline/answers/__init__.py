"""Answers that were paid or waited for, kept in one database, with the ledger of what they cost.

Goes in: answers by the content of their question, one ledger row per question that was sent, money held for questions
in flight, batches that are not settled yet. Stays out: who is asked and how (llm/, neuronpedia.py).
"""

from baez_pipeline.answers.answers import FILE, Answers, Asked, Spent

__all__ = ["FILE", "Answers", "Asked", "Spent"]
