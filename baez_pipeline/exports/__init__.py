"""An experiment's labels and scores as files for others: Neuronpedia, notebooks, spreadsheets.

Goes in: one module per format, built from tables that are there. Stays out: computing results, the pages for people
(reports/), and sending: nothing here opens a connection or needs a key.

What Neuronpedia must know before it takes an upload: the method's name as an explanation type, and the label writer's
name as an explanation model. The source set must belong to the uploader's account.
"""

from baez_pipeline.exports.experiment_export import Exported, export_experiment
from baez_pipeline.exports.flat_table import LabelScores

__all__ = ["Exported", "LabelScores", "export_experiment"]
