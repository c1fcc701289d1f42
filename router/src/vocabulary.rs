//! Words that tell what a question is about and what it asks for, in English and Indonesian.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Words that are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Class {
    // What is asked for.
    What,
    Which,
    Who,
    When,
    Why,
    How,
    Amount,
    Condition,
    Assumption,
    Negation,
    Superlative,
    Statement,
    Spelled,
    EveryOne,
    Comparison,
    Time,
    Whole,
    Proof,
    Reasoning,
    Calculation,
    Writing,
    Rewriting,
    Role,
    Constraint,
    Format,
    Plain,
    Greeting,
    Programming,
    Analysis,
    First,
    Person,
    Indonesian,
    // What it is about.
    Law,
    Morals,
    Medicine,
    Biology,
    Chemistry,
    Physics,
    Mathematics,
    Computing,
    Economy,
    History,
    Politics,
    Mind,
    Philosophy,
    Geography,
    Arts,
}

/// The number of classes.
pub(crate) const CLASSES: usize = Class::Arts as usize + 1;

/// The subjects among the classes and how a sentence names them.
pub(crate) const SUBJECTS: [(Class, &str); 15] = [
    (Class::Law, "law"),
    (Class::Morals, "morals"),
    (Class::Medicine, "medicine"),
    (Class::Biology, "biology"),
    (Class::Chemistry, "chemistry"),
    (Class::Physics, "physics"),
    (Class::Mathematics, "mathematics"),
    (Class::Computing, "computing"),
    (Class::Economy, "economy"),
    (Class::History, "history"),
    (Class::Politics, "politics"),
    (Class::Mind, "psychology"),
    (Class::Philosophy, "philosophy and religion"),
    (Class::Geography, "geography"),
    (Class::Arts, "arts"),
];

/// How a sentence names what is not a subject.
const NAMES: [(Class, &str); 32] = [
    (Class::What, "that it asks what"),
    (Class::Which, "that it asks which"),
    (Class::Who, "that it asks who"),
    (Class::When, "that it asks when or where"),
    (Class::Why, "that it asks why"),
    (Class::How, "that it asks how"),
    (Class::Amount, "that it asks for an amount"),
    (Class::Condition, "conditions"),
    (Class::Assumption, "assumptions"),
    (Class::Negation, "negations"),
    (Class::Superlative, "words such as `most` and `best`"),
    (Class::Statement, "statements to be judged"),
    (Class::Spelled, "numbers as words"),
    (Class::EveryOne, "rates"),
    (Class::Comparison, "comparisons"),
    (Class::Time, "times"),
    (Class::Whole, "sums and remainders"),
    (Class::Proof, "a proof that it asks for"),
    (Class::Reasoning, "the reasoning that it asks for"),
    (Class::Calculation, "a calculation that it asks for"),
    (Class::Writing, "a text to be written"),
    (Class::Rewriting, "a text to be worked over"),
    (Class::Role, "a role to be played"),
    (Class::Constraint, "constraints on the answer"),
    (Class::Format, "a form that the answer shall have"),
    (Class::Plain, "a plain fact that it asks for"),
    (Class::Greeting, "small talk"),
    (Class::Programming, "programming"),
    (Class::Analysis, "an analysis that it asks for"),
    (Class::First, "words such as `I` and `we`"),
    (Class::Person, "persons"),
    (Class::Indonesian, "that it is in Indonesian"),
];

/// How a sentence names the class of that number.
pub(crate) fn name(class: usize) -> String {
    let is = |(of, _): &&(Class, &str)| *of as usize == class;
    let subject = SUBJECTS.iter().find(is).map(|(_, name)| format!("words about {name}"));
    let other = || NAMES.iter().find(is).map(|(_, name)| (*name).to_owned());
    subject.or_else(other).unwrap_or_default()
}

/// Words, and pairs of neighbours written with `_`.
const WORDS: [(Class, &str); CLASSES] = [
    (Class::What, "what apa what's apakah"),
    (Class::Which, "which mana"),
    (Class::Who, "who whom whose siapa"),
    (Class::When, "when where kapan dimana di_mana"),
    (Class::Why, "why mengapa kenapa"),
    (Class::How, "how bagaimana"),
    (
        Class::Amount,
        "how_many how_much how_old how_tall how_long how_far percentage fraction berapa",
    ),
    (Class::Condition, "if unless otherwise provided jika kalau apabila"),
    (Class::Assumption, "suppose assume let given consider imagine misalkan diketahui"),
    (
        Class::Negation,
        "not except least incorrect false never cannot neither nor isn't doesn't don't without no \
         bukan tidak kecuali",
    ),
    (Class::Superlative, "most best primary primarily likely main mainly closest greatest paling"),
    (Class::Statement, "statement statements true false only_i i_and ii iii iv premise premises"),
    (
        Class::Spelled,
        "two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred \
         thousand million dozen pair couple dua tiga empat lima enam tujuh delapan sembilan \
         sepuluh",
    ),
    (Class::EveryOne, "each every per apiece rate setiap tiap masing"),
    (
        Class::Comparison,
        "more less than twice half third quarter double triple times fewer longer older younger \
         larger smaller lebih kurang kali setengah",
    ),
    (
        Class::Time,
        "second seconds minute minutes hour hours day days week weeks month months year years \
         monday tuesday wednesday thursday friday saturday sunday weekend today tomorrow yesterday \
         jam menit hari minggu bulan tahun",
    ),
    (
        Class::Whole,
        "total left remaining altogether together combined sum difference rest average remain \
         jumlah sisa rata",
    ),
    (
        Class::Proof,
        "prove proof derive derivation disprove contradiction induction lemma theorem rigorous \
         rigorously buktikan bukti turunkan teorema",
    ),
    (
        Class::Reasoning,
        "by_step reason reasoning explain_why justify justification deduce infer \
         logic logical puzzle riddle root_cause trade-off trade-offs tradeoff tradeoffs implications \
         langkah jelaskan_mengapa alasan logika",
    ),
    (
        Class::Calculation,
        "calculate compute solve evaluate simplify determine find hitung selesaikan tentukan",
    ),
    (
        Class::Writing,
        "write compose draft poem story essay blog letter email haiku song lyrics speech joke \
         tulis tulislah buatkan puisi cerita esai surat pantun lelucon",
    ),
    (
        Class::Rewriting,
        "extract classify categorize summarize summarise summary rewrite rephrase paraphrase translate correct grammar \
         proofread shorten edit ringkas rangkum terjemahkan perbaiki",
    ),
    (
        Class::Role,
        "imagine pretend act_as you_are roleplay persona character embody bayangkan berperan",
    ),
    (
        Class::Constraint,
        "must exactly at_least at_most no_more only without ensure should require requirements \
         constraints constraint concise harus tanpa hanya tepat",
    ),
    (Class::Format, "table json csv yaml markdown list bullet outline format tabel daftar"),
    (
        Class::Plain,
        "capital_of meaning_of define definition synonym spell spelling stand_for stands_for \
         weather name_of mean_by what_time ibu_kota ibukota arti artinya nama",
    ),
    (
        Class::Greeting,
        "hello hi hey thanks thank_you please good_morning goodbye bye halo hai terima_kasih tolong \
         selamat",
    ),
    (
        Class::Programming,
        "code implement python javascript typescript rust java html css sql regex bug \
         debug refactor compiler api function_to array recursive recursion iterator \
         threads concurrency concurrent deadlock mutex async segfault stack_trace unit_test \
         docker kubernetes kernel fungsi kode",
    ),
    (
        Class::Analysis,
        "analyze analyse analysis compare contrast evaluate critique discuss assess design \
         architecture strategy plan optimize optimise comprehensive in_detail detailed thorough \
         diagnose diagnosis scalable distributed analisis bandingkan rancang rancanglah strategi \
         evaluasi mendalam optimalkan",
    ),
    (Class::First, "i my me i'm myself we our us saya aku kami kita"),
    (Class::Person, "he she his her him they their them man woman boy girl child mr mrs ms dr"),
    (
        Class::Indonesian,
        "yang dan di dari untuk dengan ini itu adalah pada ke dalam oleh akan bisa dapat saya anda \
         kamu apa bagaimana tidak ada jika atau seorang sebuah",
    ),
    (
        Class::Law,
        "court plaintiff defendant statute contract tort liable liability landowner jury trial \
         constitutional amendment lawsuit sued suit judge attorney crime murder burglary evidence \
         testimony hearsay property deed conveyed easement negligence damages jurisdiction legal law \
         lawyer prosecution appeal congress buyer seller pengadilan hukum pasal",
    ),
    (
        Class::Morals,
        "morally wrong moral immoral ethics ethical virtue duty utilitarian kant abortion euthanasia \
         obligation blameworthy moralitas etika",
    ),
    (
        Class::Medicine,
        "patient patients disease symptoms symptom pain blood drug dose treatment diagnosis clinical \
         hospital physician surgery infection cancer syndrome fever therapy virus vaccine nurse \
         mmhg chronic acute pasien penyakit gejala obat",
    ),
    (
        Class::Biology,
        "cell cells protein dna rna gene genes organism organisms species enzyme membrane muscle nerve \
         evolution photosynthesis allele chromosome mutation bacteria plant plants animal animals sel",
    ),
    (
        Class::Chemistry,
        "reaction acid base mole moles molecule atom ion ions electron electrons compound oxidation \
         hydrogen oxygen carbon sodium solution bond bonds equilibrium ph reaksi asam",
    ),
    (
        Class::Physics,
        "force velocity acceleration mass energy charge voltage current resistance circuit magnetic \
         field wave wavelength frequency momentum gravity temperature pressure light speed kg joules \
         planet star stars orbit gaya kecepatan",
    ),
    (
        Class::Mathematics,
        "equation integral derivative matrix polynomial function probability theorem group ring \
         vector triangle angle circle radius prime integer integers graph logarithm eigenvalue \
         sequence limit algebra geometry mean median variance deviation regression persamaan \
         turunan peluang matriks segitiga",
    ),
    (
        Class::Computing,
        "algorithm computer memory network security encryption software database processor bit bits \
         byte bytes cache classifier neural training server protocol binary tree pointer hash \
         algoritma komputer jaringan",
    ),
    (
        Class::Economy,
        "market price prices demand supply cost costs tax income inflation gdp investment bank firm \
         firms profit revenue monetary fiscal company management consumer business trade asset cash \
         stock harga pasar pajak perusahaan",
    ),
    (
        Class::History,
        "century war empire king revolution colonial treaty ancient medieval civilization emperor \
         soviet nazi archaeological dynasty slavery reform perang kerajaan sejarah kemerdekaan",
    ),
    (
        Class::Politics,
        "president government state states policy democracy election vote party united international \
         foreign security rights political nations congress senate pemerintah presiden politik",
    ),
    (
        Class::Mind,
        "psychology behavior behaviour cognitive memory emotion personality anxiety conditioning \
         freud learning development self attachment stimulus motivation therapist adolescent \
         psikologi perilaku",
    ),
    (
        Class::Philosophy,
        "argument fallacy premise conclusion philosopher plato aristotle socrates religion religious \
         buddhist hindu islam christian jewish god bible belief soul knowledge filsafat agama",
    ),
    (
        Class::Geography,
        "country countries population city cities river mountain ocean continent region climate \
         urban migration europe africa asia america negara kota sungai gunung",
    ),
    (
        Class::Arts,
        "novel poet poetry film movie music song artist painting actor author book band album sport \
         game team novel lagu buku seni",
    ),
];

/// The classes of each word, one bit each, by the word's hash.
static CLASSES_OF: LazyLock<HashMap<u64, u64>> = LazyLock::new(|| {
    let mut classes: HashMap<u64, u64> = HashMap::new();
    for (class, words) in WORDS {
        for word in words.split_whitespace() {
            let key = match word.split_once('_') {
                Some((first, second)) => pair(hash(first), hash(second)),
                None => hash(word),
            };
            *classes.entry(key).or_default() |= 1 << class as u8;
        }
    }
    classes
});

/// The classes of a word or pair, one bit each.
pub(crate) fn classes(key: u64) -> u64 {
    CLASSES_OF.get(&key).copied().unwrap_or_default()
}

/// The hash of a word in lower case. Part of the file format of weights: never changed.
pub(crate) fn hash(word: &str) -> u64 {
    word.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The hash of two neighbours. Part of the file format of weights: never changed.
pub(crate) fn pair(first: u64, second: u64) -> u64 {
    (first.rotate_left(23) ^ second).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_has_all_its_classes_and_a_pair_has_its_own() {
        let has = |key, class: Class| classes(key) & (1 << class as u8) != 0;
        assert!(has(hash("memory"), Class::Computing) && has(hash("memory"), Class::Mind));
        assert!(has(pair(hash("how"), hash("many")), Class::Amount));
        assert!(!has(hash("many"), Class::Amount));
        assert_eq!(classes(hash("xyzzy")), 0);
    }

    #[test]
    fn every_class_is_listed_in_its_place() {
        for (place, (class, words)) in WORDS.iter().enumerate() {
            assert_eq!(*class as usize, place);
            assert!(!words.is_empty());
            assert!(!name(place).is_empty(), "{class:?}");
        }
    }
}
