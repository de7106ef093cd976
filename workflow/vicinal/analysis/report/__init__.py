"""The report of an experiment, or of several: tables, figures and records in, one self-contained HTML page out."""

from vicinal.analysis.report.combined import combined_context
from vicinal.analysis.report.context import Inputs, context
from vicinal.analysis.report.inputs import read_config, read_inputs, read_records
from vicinal.analysis.report.page import render

__all__ = ["Inputs", "combined_context", "context", "read_config", "read_inputs", "read_records", "render"]
