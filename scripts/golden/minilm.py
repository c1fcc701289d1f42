#!/usr/bin/env python3
"""Makes the golden embeddings that tests compare with, by the library that the model was made with.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install torch sentence-transformers
    /tmp/golden/bin/python scripts/golden/minilm.py "$(scripts/embedding-model.sh)" tests/golden/minilm
"""

import json
import pathlib
import sys

from sentence_transformers import SentenceTransformer

LOREM = "The quick brown fox jumps over the lazy dog near the riverbank at dawn. "
SENTENCES = [
    "",
    " ",
    "\t\n\r",
    "a",
    ".",
    "…",
    "Hello, world!",
    "The cat sits outside.",
    "A man is playing guitar.",
    "The new movie is awesome.",
    "The weather today is lovely, isn't it?",
    "THIS SENTENCE IS WRITTEN IN CAPITALS",
    "this sentence is written in capitals",
    "MiXeD CaSe WoRdS aRe FuN",
    "Pneumonoultramicroscopicsilicovolcanoconiosis is a long word.",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "Über den Wolken muß die Freiheit wohl grenzenlos sein.",
    "Grüße aus Köln, Straße und Maß.",
    "GROẞE STRAẞE",
    "L'été dernier, nous avons visité le château d'Angoulême.",
    "El niño comió piñatas en el año nuevo; ¿qué pasó? ¡Nada!",
    "São Paulo é uma cidade do coração.",
    "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "Zażółć gęślą jaźń.",
    "Árvíztűrő tükörfúrógép",
    "Iñtërnâtiônàlizætiøn",
    "İstanbul'da ılık bir gün",
    "Tiếng Việt có nhiều dấu thanh.",
    "Цель жизни — самосовершенствование.",
    "Ёлка и йод",
    "Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί.",
    "ΟΔΥΣΣΕΥΣ",
    "השועל החום המהיר קופץ מעל הכלב העצלן",
    "שָׁלוֹם",
    "الثعلب البني السريع يقفز فوق الكلب الكسول",
    "السَّلَامُ عَلَيْكُمْ",
    "तेज़ भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है",
    "দ্রুত বাদামী শিয়াল",
    "விரைவான பழுப்பு நரி",
    "สุนัขจิ้งจอกสีน้ำตาลกระโดดข้ามสุนัขขี้เกียจ",
    "ສະບາຍດີ",
    "មាតុភូមិ",
    "敏捷的棕色狐狸跳过了懒狗。",
    "繁體中文測試，包含標點符號。",
    "素早い茶色の狐がのろまな犬を飛び越える。",
    "カタカナとひらがなとガギグ",
    "ﾊﾝｶｸ ｶﾀｶﾅ",
    "빠른 갈색 여우가 게으른 개를 뛰어넘는다.",
    "한국어와 English를 섞은 문장입니다.",
    "ქართული ენა",
    "Հայերեն լեզու",
    "አማርኛ ቋንቋ",
    "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ",
    "𝓕𝓪𝓷𝓬𝔂 𝕞𝕒𝕥𝕙 𝐥𝐞𝐭𝐭𝐞𝐫𝐬",
    "Ｆｕｌｌｗｉｄｔｈ ｔｅｘｔ",
    "ﬁne ﬂuffy ligatures",
    "I ❤️ emoji 😀😂🤣",
    "👩‍👩‍👧‍👦 family 🏳️‍🌈 flag 🇩🇪",
    "🦀",
    "Rust 🦀 is blazingly fast 🚀🚀🚀!",
    "zero\u200bwidth\u200cjoiners\u200dand\u2060more\ufeff",
    "soft\u00adhyphen and non\u00a0breaking\u202fspaces\u2003here",
    "combining: e\u0301 n\u0303 o\u0308 a\u030a",
    "Z̸̢a̷l̴g̶o̵ text",
    "control \u0001\u0002 characters \u007f\u0085 here",
    "replacement \ufffd and null \u0000 inside",
    "private use \ue000 and unassigned \u0378",
    "1234567890",
    "3.14159 × 2.71828 ≈ 8.53973",
    "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β",
    "$100 + €50 = £120? ~ 5% `code` ^caret^ |pipe|",
    "a+b=c; (d-e)*f/g<h>i",
    "fn main() { println!(\"Hello {}\", name); }",
    "SELECT * FROM users WHERE id = 42 AND name LIKE '%foo%';",
    "https://example.com/path?query=value&other=1#fragment",
    "user.name+tag@example.co.uk",
    "C:\\Users\\name\\file.txt",
    "<html><body class=\"x\">text</body></html>",
    "{\"key\": [1, 2.5, null, true]}",
    "---\n# Heading\n\n* item one\n* item two\n",
    "“Curly quotes” — em‑dash – en-dash ‘single’",
    "[CLS] and [SEP] and [MASK] in the text [UNK][PAD]",
    "[cls] [unused1] ##ing [MASK",
    "don't won't can't it's I'm they've",
    "state-of-the-art well-known mother-in-law",
    "word" * 26,
    "x" * 100,
    "x" * 101,
    "y" * 5000,
    "漢" * 300,
    "한" * 200,
    "!" * 300,
    LOREM * 10,
    LOREM * 14,
    LOREM * 18,
    LOREM * 60,
    "How can I reset my password?",
    "I forgot my login credentials and need help to sign in again.",
    "Photosynthesis converts light energy into chemical energy in plants.",
    "The stock market fell sharply after the announcement.",
]


def main() -> None:
    source, target = map(pathlib.Path, sys.argv[1:])
    assert len(SENTENCES) == 100, len(SENTENCES)
    model = SentenceTransformer(str(source), device="cpu")
    # One at a time: padding changes the last digits.
    vectors = [model.encode(text, batch_size=1, normalize_embeddings=True) for text in SENTENCES]
    longest = model.max_seq_length
    tokenizer = model.tokenizer
    tokenizer.backend_tokenizer.no_padding()
    entries = []
    for text in SENTENCES:
        ids = tokenizer(text, truncation=True, max_length=longest)["input_ids"]
        whole = tokenizer(text)["input_ids"]
        entries.append({"text": text, "tokens": ids, "truncated": len(whole) > longest})
    target.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
    (target / "sentences.json").write_text(f"[\n{lines}\n]\n")
    with open(target / "vectors.f32", "wb") as file:
        for vector in vectors:
            file.write(vector.astype("<f4").tobytes())


if __name__ == "__main__":
    main()
