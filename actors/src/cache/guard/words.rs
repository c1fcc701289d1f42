//! What words are worth, in English and Indonesian. Two words are only said to be the same where no
//! question depends on the difference.

/// Longer ones come before those that they begin with.
pub(super) const PHRASES: &[(&str, &str)] = &[
    ("can you please tell me", ""),
    ("could you please tell me", ""),
    ("could you please explain to me", ""),
    ("can you please explain to me", ""),
    ("can you please explain", ""),
    ("could you please explain", ""),
    ("can you explain to me", ""),
    ("could you explain to me", ""),
    ("would you please tell me", ""),
    ("would you mind telling me", ""),
    ("can you tell me", ""),
    ("could you tell me", ""),
    ("would you tell me", ""),
    ("can you explain", ""),
    ("could you explain", ""),
    ("can you help me understand", ""),
    ("i would like to know", ""),
    ("i want to know", ""),
    ("i need to know", ""),
    ("i would like to ask", ""),
    ("i am wondering", ""),
    ("i was wondering", ""),
    ("do you know", ""),
    ("do you happen to know", ""),
    ("please tell me", ""),
    ("please explain to me", ""),
    ("please explain", ""),
    ("let me know", ""),
    ("tell me", ""),
    ("explain to me", ""),
    ("explain", ""),
    ("thank you", ""),
    ("thanks in advance", ""),
    ("what is the way to", "how"),
    ("what is a way to", "how"),
    ("what are the steps to", "how"),
    ("in what way", "how"),
    ("in which way", "how"),
    ("how do i go about", "how"),
    ("how can i", "how"),
    ("how could i", "how"),
    ("how do i", "how"),
    ("how would i", "how"),
    ("how can one", "how"),
    ("how does one", "how"),
    ("how can we", "how"),
    ("how do we", "how"),
    ("how to", "how"),
    ("how come", "why"),
    ("what is the reason that", "why"),
    ("at what time", "when"),
    ("at which time", "when"),
    ("in which place", "where"),
    ("in what place", "where"),
    ("is it possible to", "can"),
    ("is it possible for me to", "can"),
    ("am i able to", "can"),
    ("are we able to", "can"),
    ("may i", "can"),
    ("united states of america", "USA"),
    ("the united states", "USA"),
    ("united kingdom", "UK"),
    ("cell phone", "phone"),
    ("mobile phone", "phone"),
    ("set up", "setup"),
    ("e mail", "email"),
    ("bisakah anda jelaskan", ""),
    ("bisakah kamu jelaskan", ""),
    ("bisa tolong jelaskan", ""),
    ("bisa jelaskan", ""),
    ("tolong jelaskan", ""),
    ("jelaskan", ""),
    ("tolong beri tahu saya", ""),
    ("beri tahu saya", ""),
    ("beritahu saya", ""),
    ("tolong", ""),
    ("mohon", ""),
    ("saya ingin tahu", ""),
    ("saya mau tahu", ""),
    ("aku ingin tahu", ""),
    ("apakah anda tahu", ""),
    ("apakah kamu tahu", ""),
    ("apa itu", ""),
    ("apa yang dimaksud dengan", ""),
    ("bagaimana caranya", "how"),
    ("bagaimana cara", "how"),
    ("gimana caranya", "how"),
    ("gimana cara", "how"),
    ("di mana", "where"),
    ("ada berapa", "berapa"),
    ("berapa banyak", "berapa"),
    ("ibu kota", "ibukota"),
    ("terima kasih", ""),
];

/// A question that begins with one of these wants a yes or a no.
pub(super) const ASK_WHETHER: &[&str] = &[
    "is", "are", "am", "was", "were", "do", "does", "did", "can", "could", "will", "would", "should",
    "has", "have", "had", "may", "must", "apakah", "adakah", "bisakah", "bolehkah", "haruskah",
];

/// Words that say nothing which the others do not.
pub(super) const FILLERS: &[&str] = &[
    "a", "an", "the", "is", "are", "am", "be", "do", "does", "what", "i", "please", "kindly", "just",
    "hi", "hello", "hey", "thanks", "so", "well", "ok", "okay", "there", "exactly", "actually", "that",
    "apa", "apakah", "adalah", "ialah", "merupakan", "yang", "itu", "sih", "dong", "ya", "hai", "halo",
];

/// Begin what can stand in front of a question as well as behind it.
pub(super) const CIRCUMSTANCES: &[&str] = &[
    "in", "on", "at", "for", "with", "using", "under", "during", "before", "after", "from", "to",
    "between", "without", "by", "than", "di", "pada", "untuk", "dengan", "dalam", "dari", "ke",
];

/// Spelled in one way.
pub(super) const SAME: &[(&str, &str)] = &[
    // Tense, number and politeness of a few verbs.
    ("has", "have"), ("could", "can"), ("was", "past"), ("were", "past"), ("did", "past"),
    ("had", "past"), ("would", "will"), ("into", "to"),
    // Persons.
    ("me", "my"), ("mine", "my"), ("your", "you"), ("yours", "you"), ("us", "we"), ("our", "we"),
    ("him", "he"), ("his", "he"), ("her", "she"), ("them", "they"), ("their", "they"),
    // English on both sides of the ocean.
    ("colour", "color"), ("colours", "color"), ("favourite", "favorite"), ("centre", "center"),
    ("metre", "m"), ("metres", "m"), ("meter", "m"), ("meters", "m"), ("kilometre", "km"),
    ("kilometres", "km"), ("kilometer", "km"), ("kilometers", "km"), ("kms", "km"),
    ("litre", "liter"), ("litres", "liter"), ("kilogram", "kg"), ("kilograms", "kg"),
    ("kilo", "kg"), ("kilos", "kg"), ("gram", "g"), ("grams", "g"), ("centimeter", "cm"),
    ("centimeters", "cm"), ("centimetre", "cm"), ("centimetres", "cm"), ("hrs", "hour"),
    ("hr", "hour"), ("mins", "minute"), ("min", "minute"), ("secs", "second"), ("sec", "second"),
    ("organise", "organize"), ("analyse", "analyze"), ("behaviour", "behavior"),
    ("dollars", "dollar"), ("pct", "percent"), ("degrees", "degree"),
    // The same thing.
    ("purchase", "buy"), ("repair", "fix"), ("large", "big"), ("largest", "biggest"),
    ("quick", "fast"), ("quickly", "fast"), ("begin", "start"), ("film", "movie"),
    ("films", "movie"), ("automobile", "car"), ("telephone", "phone"), ("smartphone", "phone"),
    ("photo", "picture"), ("photos", "picture"), ("photograph", "picture"), ("television", "tv"),
    ("create", "make"), ("obtain", "get"), ("people", "person"), ("persons", "person"),
    ("children", "child"), ("kids", "child"), ("kid", "child"), ("men", "man"),
    ("women", "woman"), ("mice", "mouse"), ("feet", "foot"), ("teeth", "tooth"),
    ("bicycle", "bike"), ("bicycles", "bike"), ("maths", "math"),
    ("mathematics", "math"), ("eggs", "egg"),
    ("javascript", "js"), ("postgresql", "postgres"), ("kubernetes", "k8s"),
    // Numbers. "One" is also a word for anybody and anything.
    ("two", "2"), ("three", "3"), ("four", "4"), ("five", "5"), ("six", "6"), ("seven", "7"),
    ("eight", "8"), ("nine", "9"), ("ten", "10"), ("eleven", "11"), ("twelve", "12"),
    ("twenty", "20"), ("thirty", "30"), ("fifty", "50"), ("hundred", "100"), ("first", "1st"),
    ("second", "2nd"), ("third", "3rd"), ("dua", "2"), ("tiga", "3"), ("empat", "4"),
    ("lima", "5"), ("enam", "6"), ("tujuh", "7"), ("delapan", "8"), ("sembilan", "9"),
    ("sepuluh", "10"), ("sebelas", "11"), ("seratus", "100"), ("pertama", "1st"),
    // Indonesian, as it is written and as it is said.
    ("bagaimana", "how"), ("gimana", "how"), ("siapa", "who"), ("siapakah", "who"),
    ("kapan", "when"), ("kapankah", "when"), ("dimana", "where"), ("dimanakah", "where"),
    ("mengapa", "why"), ("kenapa", "why"), ("berapakah", "berapa"), ("bisa", "can"),
    ("dapat", "can"), ("bisakah", "can"), ("tidak", "not"), ("tak", "not"), ("nggak", "not"),
    ("enggak", "not"), ("gak", "not"), ("ga", "not"), ("ngga", "not"), ("kagak", "not"),
    ("bukan", "not"), ("jangan", "not"), ("aku", "saya"), ("kamu", "anda"), ("kau", "anda"),
    ("bolehkah", "boleh"), ("persen", "percent"), ("ponsel", "hp"), ("handphone", "hp"),
    ("membeli", "beli"), ("membuat", "buat"), ("bikin", "buat"), ("memasak", "masak"),
];

/// Words that are written together.
pub(super) const CONTRACTIONS: &[(&str, &str)] = &[
    ("cannot", "can not"),
    ("can't", "can not"),
    ("cant", "can not"),
    ("won't", "will not"),
    ("shan't", "shall not"),
    ("dont", "do not"),
    ("doesnt", "does not"),
    ("isnt", "is not"),
    ("whats", "what is"),
    ("let's", "let us"),
    ("gonna", "going to"),
    ("wanna", "want to"),
];

/// Behind these, `'s` is short for `is`.
pub(super) const BEFORE_IS: &[&str] =
    &["what", "who", "where", "when", "how", "why", "it", "that", "there", "here", "he", "she"];

/// End in an `s` that belongs to them.
pub(super) const WITH_S: &[&str] = &[
    "news", "always", "does", "this", "gas", "bias", "lens", "alias", "canvas", "atlas", "texas",
    "paris", "whereas", "perhaps", "besides", "towards", "series", "species", "means",
];

/// Units that are written behind a number without a space.
pub(super) const UNITS: &[&str] = &[
    "km", "m", "cm", "mm", "kg", "g", "mg", "l", "ml", "s", "ms", "min", "h", "gb", "mb", "kb", "tb",
    "c", "f", "ft", "lb", "lbs", "oz", "w", "kw", "v", "hz", "ghz", "mhz",
];
