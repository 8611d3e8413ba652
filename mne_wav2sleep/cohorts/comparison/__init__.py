"""Agreement of hypnograms with one or several scorers, by YASA, with intervals by subject.

comparing      compare(); result: what it gives; matching: which hypnograms are of one night
scorers        hypnograms on the same epochs, and their consensus; groups: of participants
pairs          agreement as YASA computes it; agreement: its tables; intervals: by a bootstrap
"""
