def test_weights_are_listed_and_located(tmp_path, monkeypatch, invoke):
    monkeypatch.setenv("MNE_WAV2SLEEP_DATA", str(tmp_path))
    assert "ABD, ECG, PPG, THX" in invoke("weights", "list").output
    assert str(tmp_path) in invoke("weights", "path").output
    assert invoke("weights", "verify").exit_code == 1
    assert "mini" in invoke("weights", "path", "mini").output
    assert "mini is intact" in invoke("weights", "verify", "mini").output


def test_bundled_weights_are_not_downloaded(small_mini, invoke):
    result = invoke("weights", "fetch", "mini")
    assert "nothing to download" in result.stderr
    assert result.stdout.strip() == str(small_mini)
    assert "is intact" in invoke("weights", "verify", "mini").output
