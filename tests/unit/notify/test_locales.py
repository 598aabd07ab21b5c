import pytest
from hypothesis import given
from hypothesis import strategies as st

from usercenter.notify.locales import closest

WRITTEN = ["en", "zh-CN"]


@pytest.mark.parametrize("locale", ["zh", "zh-CN", "zh_CN", "ZH-cn", "zh-Hans", "zh-Hans-CN", "zh_CN.UTF-8", "zh-TW"])
def test_every_spelling_of_chinese_gets_chinese(locale):
    assert closest(locale, WRITTEN) == "zh-CN"


@pytest.mark.parametrize("locale", ["en", "en-GB", "en_US.UTF-8", "fr", "", "C", "../zh", "zhx", "-", "q=0.8;*"])
def test_english_is_for_all_others(locale):
    assert closest(locale, WRITTEN) == "en"


@given(st.text())
def test_no_locale_is_too_strange(locale):
    assert closest(locale, WRITTEN) in WRITTEN
