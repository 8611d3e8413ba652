from mne_wav2sleep.modalities import COMMON_WORDS, MODALITIES, is_built_in
from mne_wav2sleep.recordings.labels import find_modality, normalize_label
from mne_wav2sleep.recordings.vocabulary import LOOKALIKES

VOCABULARIES = {name: one.vocabulary for name, one in MODALITIES.items() if is_built_in(name)}


def test_every_built_in_modality_has_a_vocabulary():
    assert set(VOCABULARIES) == {"ABD", "ECG", "EOG-L", "EOG-R", "PPG", "THX"}
    assert all(one.names and one.qualifiers for one in VOCABULARIES.values())


def test_words_are_normalized():
    for vocabulary in VOCABULARIES.values():
        words = vocabulary.names + vocabulary.qualifiers + vocabulary.labels + vocabulary.unplaced
        assert [normalize_label(word) for word in words] == list(words)
        assert set(vocabulary.electrodes) <= set(vocabulary.qualifiers)
    assert [normalize_label(word) for word in COMMON_WORDS] == list(COMMON_WORDS)
    for words in LOOKALIKES.values():
        assert all(word == word.lower() and " " not in word for word in words)


def test_no_name_belongs_to_two_modalities():
    for modality, vocabulary in VOCABULARIES.items():
        for name in vocabulary.names + vocabulary.labels:
            assert find_modality(name) == modality
            others = [v for m, v in VOCABULARIES.items() if m != modality]
            assert name not in COMMON_WORDS
            assert not any(name in v.names + v.qualifiers + v.unplaced for v in others), name
