"""TFX components of this project, one folder each: plain logic, and a thin wrapper named `component.py`."""
