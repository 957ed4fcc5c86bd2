"""The HTML report of a run: one self-contained file, made to be read by people.

`page.py` turns the run's data into what the page shows, `figures.py` draws, `template.html.j2` and `style.css` lay out,
`verdict.py`, `sentences.py` and `formats.py` hold the words and number formats that the console uses too.
"""
