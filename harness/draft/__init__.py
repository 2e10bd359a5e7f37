"""Drafts: a sweep file written from finished checkpoints (`harness study`).

checkpoints.py   a reference -> what is in it; the refusals of what is no checkpoint of one model
variants.py      what is in it -> a variant of the catalogue, or one of the file itself
engines.py       the first engine of conf/engine that reads all of them
contents.py      suites, scenarios and load by the model's size and the engine
sweep_file.py    all of it as the text of conf/sweep/NAME.yaml
"""
