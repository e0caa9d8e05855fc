"""Sentences of several scripts are told apart, and only those allowed are kept."""

import pytest
from pydantic import ValidationError

from operators.filters.language import Language, language_of
from operators.filters.word_lists import LISTS, read_words
from tests.operators.filters.making import PROSE, rejects

SENTENCES = {
    "en": "The toolbox has a button for every tool, and you can choose which of them are shown.",
    "de": "Der Werkzeugkasten hat für jedes Werkzeug einen Knopf, und man kann wählen, welche gezeigt werden.",
    "fr": "La boîte à outils contient un bouton pour chaque outil, et vous pouvez choisir ceux qui sont affichés.",
    "ru": "На панели есть кнопка для каждого инструмента, и вы можете выбрать, какие из них показаны.",
    "el": "Η εργαλειοθήκη έχει ένα κουμπί για κάθε εργαλείο και μπορείτε να επιλέξετε ποια εμφανίζονται.",
    "ja": "ツールボックスには各ツールのボタンがあり、どれを表示するかを選ぶことができます。",
    "zh": "工具箱里每个工具都有一个按钮，你可以选择显示哪些按钮，也可以改变它们的顺序。",
    "ko": "도구 상자에는 도구마다 단추가 있으며 어떤 것을 표시할지 선택할 수 있습니다.",
    "ar": "يحتوي صندوق الأدوات على زر لكل أداة ويمكنك اختيار الأدوات التي تظهر فيه وترتيبها.",
    "he": "בארגז הכלים יש כפתור לכל כלי, ואפשר לבחור אילו מהם מוצגים ובאיזה סדר.",
    "hi": "टूलबॉक्स में हर उपकरण के लिए एक बटन है और आप चुन सकते हैं कि कौन से दिखाए जाएँ।",
    "th": "กล่องเครื่องมือมีปุ่มสำหรับเครื่องมือแต่ละชิ้น และคุณสามารถเลือกได้ว่าจะแสดงปุ่มใด",
}


@pytest.mark.parametrize("code", SENTENCES)
def test_a_sentence_is_told_and_kept_only_where_it_is_allowed(code):
    found, thousandths = language_of(SENTENCES[code])
    assert found == code
    assert thousandths >= 800
    assert not rejects(Language(allowed=(code,)), SENTENCES[code])
    assert rejects(Language(allowed=("eo", "la")), SENTENCES[code])


def test_english_is_what_obelics_keeps():
    assert Language.reason == "filter-language"
    assert not rejects(Language(), PROSE)
    assert rejects(Language(), SENTENCES["de"])
    assert rejects(Language(), "Click OK")  # three words tell no language
    assert not rejects(Language(min=0), *[SENTENCES["en"]] * 3)
    assert not rejects(Language(), "1 2 3")


def test_the_probability_itself_is_allowed():
    _, thousandths = language_of("Click the OK button in the GIMP toolbox")
    assert 0 < thousandths < 1000
    assert not rejects(Language(min=thousandths / 1000), "Click the OK button in the GIMP toolbox")
    assert rejects(Language(min=(thousandths + 1) / 1000), "Click the OK button in the GIMP toolbox")


def test_an_unknown_code_is_refused_and_the_list_is_the_models_own():
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    with pytest.raises(ValidationError, match="'english' is no language that can be told"):
        Language(allowed=("english",))
    told = set(LanguageIdentifier.from_model_file(MODEL_FILE).labels) - {"zxx"}  # zxx: no language at all
    assert read_words(str(LISTS / "languages.txt")) == told
