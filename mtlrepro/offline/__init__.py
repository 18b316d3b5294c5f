"""Predictions that any framework saved in a folder, judged by the named protocols (`mtlrepro eval`).

`files` finds the pairs of prediction and truth, `readers` turns a file into what a metric takes, `kinds` says for
every task what can be asked, `doubts` what files look like instead, `evaluate` goes over the pairs, `search` saves
thresholds, `result` and `pictures` are what was found, `session` is one command from options to result.
"""
