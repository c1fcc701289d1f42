//! Files that are nearly right. Each is either refused with a reason or truly consistent, which is
//! judged by a second reader that is as plain as can be.

use super::*;

/// Mutants of each kind of each file.
const ROUNDS: usize = 80;

/// A linear congruential generator: the same mutants in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }

    /// A number as a hostile file has them.
    fn number(&mut self, length: usize) -> u64 {
        let length = length as u64;
        let numbers = [
            0,
            1,
            31,
            33,
            u64::from(u32::MAX),
            1 << 32,
            1 << 63,
            u64::MAX,
            u64::MAX - 31,
            length,
            length - 1,
            length + 1,
            self.0,
        ];
        numbers[self.below(numbers.len())]
    }
}

fn overwrite(bytes: &mut [u8], place: usize, with: &[u8]) {
    for (byte, new) in bytes.iter_mut().skip(place).zip(with) {
        *byte = *new;
    }
}

/// One way to spoil a file.
type Mutation = fn(&mut Vec<u8>, &mut Random);

const MUTATIONS: [(&str, Mutation); 11] = [
    ("flipped bits", |bytes, random| {
        for _ in 0..=random.below(4) {
            let place = random.below(bytes.len());
            bytes[place] ^= 1 << random.below(8);
        }
    }),
    ("a cut", |bytes, random| bytes.truncate(random.below(bytes.len()))),
    ("a 64-bit number", |bytes, random| {
        let (place, number) = (random.below(bytes.len()), random.number(bytes.len()));
        overwrite(bytes, place, &number.to_le_bytes());
    }),
    ("a 32-bit number", |bytes, random| {
        let (place, number) = (random.below(bytes.len()), random.number(bytes.len()));
        overwrite(bytes, place, &number.to_le_bytes()[..4]);
    }),
    ("a count at the beginning", |bytes, random| {
        let number = random.number(bytes.len());
        overwrite(bytes, 8 + 8 * random.below(2), &number.to_le_bytes());
    }),
    ("swapped counts", |bytes, _| bytes[8..24].rotate_left(8)),
    ("swapped words", |bytes, random| {
        let words = bytes.len() / 8;
        let (a, b) = (8 * random.below(words), 8 * random.below(words));
        for offset in 0..8 {
            bytes.swap(a + offset, b + offset);
        }
    }),
    ("a part twice", |bytes, random| {
        let begin = random.below(bytes.len());
        let part = bytes[begin..(begin + random.below(64)).min(bytes.len())].to_vec();
        let place = random.below(bytes.len());
        drop(bytes.splice(place..place, part));
    }),
    ("a part missing", |bytes, random| {
        let begin = random.below(bytes.len());
        bytes.drain(begin..(begin + random.below(64)).min(bytes.len()));
    }),
    ("zeros", |bytes, random| {
        let begin = random.below(bytes.len());
        let end = (begin + random.below(64)).min(bytes.len());
        bytes[begin..end].fill(0);
    }),
    ("more behind it", |bytes, random| {
        let length = bytes.len() + random.below(200);
        bytes.resize(length, 0xff);
    }),
];

/// Small files that are right, as different as they can be.
fn originals() -> Vec<Builder> {
    let aligned = |alignment: u32| {
        let second = u64::from(alignment).max(256);
        let tensors =
            vec![("a".to_owned(), vec![64], F32, 0), ("b".to_owned(), vec![8, 2, 2], F32, second)];
        let data_bytes = usize::try_from(second).unwrap() + 256;
        Builder { tensors, data_bytes, ..Builder::model() }
            .key("general.alignment", number(alignment))
    };
    vec![
        Builder::model(),
        Builder { version: 2, ..Builder::model() },
        Builder::model().tensor(&[32], F32, 0),
        aligned(8),
        aligned(128),
        Builder::model().key("x.scores", numbers(&[1, 2, 3])).key("x.merges", texts(&["a b"; 9])),
    ]
}

/// Files with tensors at any place and any alignment, half of them wrong.
fn misplaced(random: &mut Random) -> Vec<u8> {
    let tensors = (0..=random.below(4)).map(|ordinal| {
        let name = if random.below(10) == 0 { "same".to_owned() } else { format!("t{ordinal}") };
        let rows = 1 + random.below(3) as u64;
        (name, vec![32, rows], [F32, Q4_1][random.below(2)], 16 * random.below(48) as u64)
    });
    let tensors = tensors.collect();
    let alignment = [0, 1, 3, 8, 16, 32, 48, 1 << 20, 1 << 21][random.below(9)];
    let model = Builder { tensors, data_bytes: 640, ..Builder::model() };
    let model = if random.below(2) == 0 {
        model
    } else {
        model.key("general.alignment", number(alignment))
    };
    model.bytes()
}

#[test]
fn no_mutant_is_accepted_that_is_not_truly_consistent() {
    let mut random = Random(1);
    let (mut accepted, mut refused) = (0, 0);
    let mut judge = |what: &str, bytes: &[u8]| match read_bytes(bytes) {
        Ok(header) => {
            let plain = Plain::read(bytes).unwrap_or_else(|| panic!("{what}: it cannot be read"));
            assert_eq!(plain.inconsistency(), None, "{what}");
            assert_eq!(header.size_bytes, bytes.len() as u64, "{what}");
            assert!(header.tensor_bytes <= header.size_bytes, "{what}");
            accepted += 1;
        }
        Err(problem) => {
            assert!(!problem.to_string().is_empty(), "{what}");
            refused += 1;
        }
    };
    for original in originals() {
        let original = original.bytes();
        judge("an original", &original);
        for (what, mutation) in MUTATIONS {
            for round in 0..ROUNDS {
                let mut mutant = original.clone();
                // Every other one is spoilt twice.
                for _ in 0..=round % 2 {
                    if mutant.len() >= 24 {
                        mutation(&mut mutant, &mut random);
                    }
                }
                judge(what, &mutant);
            }
        }
    }
    for _ in 0..2_000 {
        judge("misplaced tensors", &misplaced(&mut random));
    }
    assert!(accepted > 300 && refused > 2_000, "{accepted} accepted, {refused} refused");
}

/// What a file says of its tensors.
struct Plain {
    alignment: u128,
    data_begin: u128,
    size: u128,
    /// Name, begin and end, counted from `data_begin`.
    tensors: Vec<(Vec<u8>, u128, u128)>,
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.u64()?;
        self.take(length)
    }

    /// The bytes of a value that is no array.
    fn value(&mut self, of: u32) -> Option<&'a [u8]> {
        match of {
            0 | 1 | 7 => self.take(1),
            2 | 3 => self.take(2),
            4..=6 => self.take(4),
            8 => self.text(),
            10..=12 => self.take(8),
            _ => None,
        }
    }
}

impl Plain {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        (cursor.take(4)? == b"GGUF" && matches!(cursor.u32()?, 2 | 3)).then_some(())?;
        let (tensor_count, key_count) = (cursor.u64()?, cursor.u64()?);
        let mut alignment = 32;
        for _ in 0..key_count {
            let key = cursor.text()?;
            match cursor.u32()? {
                9 => {
                    let (of, length) = (cursor.u32()?, cursor.u64()?);
                    for _ in 0..length {
                        cursor.value(of)?;
                    }
                }
                of => {
                    let value = cursor.value(of)?;
                    if key == b"general.alignment" && (of <= 5 || of >= 10) && of != 12 {
                        let wide =
                            value.iter().rev().fold(0, |sum, byte| sum << 8 | u128::from(*byte));
                        alignment = wide;
                    }
                }
            }
        }
        let mut tensors = Vec::new();
        for _ in 0..tensor_count {
            let name = cursor.text()?.to_vec();
            let mut elements = 1_u128;
            for _ in 0..cursor.u32()? {
                elements = elements.checked_mul(cursor.u64()?.into())?;
            }
            let kind = TensorType::of(cursor.u32()?)?;
            let (in_block, bytes) = (u128::from(kind.block_elements), u128::from(kind.block_bytes));
            let begin = u128::from(cursor.u64()?);
            tensors.push((name, begin, begin + elements.div_ceil(in_block) * bytes));
        }
        let size = bytes.len() as u128;
        let data_begin = (size - cursor.0.len() as u128).next_multiple_of(alignment.max(1));
        Some(Self { alignment, data_begin, size, tensors })
    }

    /// What is wrong, as far as anything is.
    fn inconsistency(&self) -> Option<String> {
        if self.tensors.is_empty() || !self.alignment.is_power_of_two() {
            return Some(format!("alignment {}", self.alignment));
        }
        for (index, (name, begin, end)) in self.tensors.iter().enumerate() {
            let others = self.tensors.iter().skip(index + 1);
            let apart = |other: &(Vec<u8>, u128, u128)| {
                other.0 != *name && (other.2 <= *begin || *end <= other.1)
            };
            if begin % self.alignment != 0
                || self.data_begin + end > self.size
                || !others.clone().all(apart)
            {
                return Some(format!("tensor {}", String::from_utf8_lossy(name)));
            }
        }
        None
    }
}
