"""Words that people use for columns and for the parts of a split, in several languages.

All are written as `folded` gives them. Earlier names are preferred to later ones.
"""

import re
import unicodedata

TRAIN, VALIDATION, TEST = "train", "validation", "test"


def folded(name: str) -> str:
    """The letters and digits of a name in lower case and one Unicode form: "Review_Text" as "reviewtext"."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", name).casefold())


def words_of(name: str) -> list[str]:
    """The words of a name, each as `folded` gives it: "reviewBody_2" as "review", "body", "2"."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=\D)(?=\d)", " ", name)
    return [folded(word) for word in re.split(r"[\W_]+", apart) if word]


def _all(words: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(folded(word) for word in words.split()))


TEXT_NAMES = _all(
    """
    text texts sentence sentences review review_text comment comment_text message tweet tweet_text
    content body document utterance question query feedback response answer description headline abstract
    input post sms email text_a sentence1 raw_text clean_text full_text title v2
    texte phrase avis commentaire kommentar kommentare satz bewertung nachricht frage antwort
    texto frase comentario comentarios mensaje reseña opinión mensagem avaliação
    testo commento recensione messaggio tekst zin bericht opinia komentarz metin yorum
    текст отзыв комментарий сообщение вопрос κείμενο 文本 内容 评论 句子 正文 テキスト 本文 レビュー
    텍스트 문장 리뷰 내용 نص النص טקסט
    """
)
LABEL_NAMES = _all(
    """
    label labels class classes category categories sentiment target intent topic tag emotion polarity
    rating stars score class_name label_name label_text coarse_label gold type genre subject department
    priority outcome result y v1
    klasse klassen kategorie etikett stimmung thema étiquette classe catégorie
    etiqueta clase categoría sentimiento rótulo etichetta categoria sentimento etykieta kategoria
    etiket kategori метка класс категория тональность ετικέτα 标签 类别 分类 情感 ラベル カテゴリ 分類
    레이블 라벨 분류 تصنيف الفئة תווית
    """
)
SPLIT_NAMES = _all("split splits subset partition set part data_split dataset_split usage aufteilung")
SPLIT_VALUES = {
    **dict.fromkeys(("train", "training", "trn", "tr"), TRAIN),
    **dict.fromkeys(("validation", "valid", "val", "dev", "development", "eval", "evaluation"), VALIDATION),
    **dict.fromkeys(("test", "testing", "tst", "te", "holdout"), TEST),
}
KNOWN_NAMES = frozenset((*TEXT_NAMES, *LABEL_NAMES, *SPLIT_NAMES, "id", "index"))
