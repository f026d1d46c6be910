"""Names and words a hospital writes, by character set; every one is made up."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Language:
    """What a site writes in free text, and the character set (0008,0005) it writes it in."""

    character_set: str
    families: tuple[str, ...]
    givens: tuple[str, ...]
    institutions: tuple[str, ...]
    studies: tuple[str, ...]
    comments: tuple[str, ...]

    def person(self, random: Random) -> str:
        """A PN value; every group present is built from the same two choices (PS3.5 6.2.1)."""
        family, given = random.choice(self.families), random.choice(self.givens)
        groups = zip(family.split("="), given.split("="), strict=True)
        return "=".join(f"{last}^{first}" for last, first in groups)


WESTERN = Language(
    "ISO_IR 100",
    ("Müller", "Bélanger", "Ibáñez", "Sørensen", "Smith", "Jones", "Åkesson", "Novak", "Rossi", "O'Connor",
     "Da Conceição", "Weiß", "Lindqvist", "Dubois", "Fernández", "Brown", "Taylor", "Kowalski", "Vogel",
     "Hansen"),
    ("Jürgen", "Élise", "María José", "Anders", "John^Q", "Mary", "Åsa", "Peter", "Giulia", "Séamus",
     "Inês", "Käthe", "Björn", "Chloé", "Andrés", "Linda^M^Dr", "Tom", "Ewa", "Uwe", "Nils"),
    ("Universitätsklinikum Nord", "Hôpital Saint-Étienne", "General Hospital", "Clínica del Río",
     "City Imaging"),
    ("CT THORAX ABDOMEN", "Schädel nativ", "Abdomen sans préparation", "KNEE LEFT", "HEAD W/O CONTRAST",
     "Whole body"),
    ("Verlaufskontrolle nach Therapie", "Rule out fracture", "Douleurs à l'effort", "Follow-up in 6 months"),
)  # fmt: skip
JAPANESE = Language(
    "ISO_IR 192",
    ("Yamada=山田=やまだ", "Sato=佐藤=さとう", "Suzuki=鈴木=すずき", "Takahashi=高橋=たかはし",
     "Tanaka=田中=たなか",
     "Watanabe=渡辺=わたなべ", "Ito=伊藤=いとう", "Nakamura=中村=なかむら", "Kobayashi=小林=こばやし"),
    ("Tarou=太郎=たろう", "Hanako=花子=はなこ", "Ichirou=一郎=いちろう", "Yuki=雪=ゆき", "Kenta=健太=けんた",
     "Sakura=桜=さくら", "Makoto=誠=まこと", "Akira=明=あきら"),
    ("東京中央病院", "大阪医療センター", "北海道大学病院", "General Hospital"),
    ("頭部単純", "胸部造影", "腹部骨盤", "膝関節 MRI", "HEAD ROUTINE"),
    ("経過観察", "転移検索のため", "術後評価", "Follow-up"),
)  # fmt: skip
JAPANESE_2022 = Language("\\ISO 2022 IR 87", *(
    JAPANESE.families, JAPANESE.givens, JAPANESE.institutions, JAPANESE.studies, JAPANESE.comments
))  # fmt: skip
CHINESE = Language(
    "GB18030",
    ("Wang=王", "Li=李", "Zhang=张", "Liu=刘", "Chen=陈", "Yang=杨", "Huang=黄", "Zhao=赵", "Wu=吴",
     "Zhou=周"),
    ("XiaoDong=小东", "Fang=芳", "Wei=伟", "XiuYing=秀英", "Na=娜", "Min=敏", "Jing=静", "Lei=磊",
     "Qiang=强"),
    ("北京协和医院", "上海第一人民医院", "华西医院", "City Imaging"),
    ("胸部平扫", "头颅增强", "腹部", "膝关节", "WHOLE BODY"),
    ("复查", "外伤后评估", "术前检查", "Follow-up"),
)  # fmt: skip
ENGLISH = Language(
    "",
    ("Smith", "Jones", "Brown", "Taylor", "Novak", "Rossi", "Hansen", "Kowalski", "Dubois", "Vogel"),
    ("John", "Mary^Ann", "Peter", "Giulia", "Tom", "Ewa", "Linda^M^Dr", "Uwe", "Nils", "Sara"),
    WESTERN.institutions[2:3] + WESTERN.institutions[4:],
    WESTERN.studies[3:],
    WESTERN.comments[1:2] + WESTERN.comments[3:],
)
