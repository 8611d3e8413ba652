"""Agreement of hypnograms with one or several scorers, by YASA, with intervals by subject.

comparing      compare(); result: what it gives
listing        hypnograms as they are given; folders: those of a folder
matching       hypnograms of the same nights; names: which nights are the same by their names
scorers        hypnograms on the same epochs, and their consensus; in_bed: lights of a cohort
groups         of participants
pairs          agreement as YASA computes it; agreement: its tables; intervals: by a bootstrap
"""
