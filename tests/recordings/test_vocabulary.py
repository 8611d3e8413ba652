from mne_wav2sleep.modalities import MODALITIES
from mne_wav2sleep.recordings.labels import find_modality, normalize_label
from mne_wav2sleep.recordings.vocabulary import LOOKALIKES, VOCABULARIES


def test_every_modality_has_a_vocabulary():
    assert set(VOCABULARIES) == set(MODALITIES)


def test_words_are_normalized():
    for vocabulary in VOCABULARIES.values():
        words = vocabulary.names + vocabulary.qualifiers + vocabulary.labels + vocabulary.unplaced
        assert [normalize_label(word) for word in words] == list(words)
        assert set(vocabulary.electrodes) <= set(vocabulary.qualifiers)
    for words in LOOKALIKES.values():
        assert all(word == word.lower() and " " not in word for word in words)


def test_no_name_belongs_to_two_modalities():
    for modality, vocabulary in VOCABULARIES.items():
        for name in vocabulary.names + vocabulary.labels:
            assert find_modality(name) == modality
            others = [v for m, v in VOCABULARIES.items() if m != modality]
            assert not any(name in v.names + v.qualifiers + v.unplaced for v in others), name
