//! The file of a trained router: a header, the heads, a table of quantiles, and a checksum. All
//! numbers are little-endian.

use thiserror::Error;

use crate::features::{BUCKET_BITS, BUCKETS, DENSE};
use crate::model::{Curve, Head, Model};
use crate::trees::{Child, Split, Tree};

const MAGIC: &[u8; 8] = b"TNDMROUT";
/// Raised whenever a feature is measured in another way or the layout changes.
const VERSION: u32 = 1;
/// Most knots of a curve.
pub(crate) const KNOTS_MAX: usize = 64;

/// Why a file of weights cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WeightsError {
    /// It is something else.
    #[error("this is no file of router weights; `tandem router train` writes one")]
    Foreign,
    /// It was written by another version of tandem.
    #[error(
        "the weights have format {found}, and this tandem reads format {VERSION}; train them again \
         with `tandem router train`"
    )]
    Version {
        /// The format of the file.
        found: u32,
    },
    /// It was cut short or changed.
    #[error("the weights are damaged ({problem}); copy or train the file again")]
    Corrupt {
        /// What is wrong.
        problem: &'static str,
    },
}

/// The file of `model`.
pub(crate) fn write(model: &Model) -> Vec<u8> {
    let mut file = Vec::with_capacity(1 << 16);
    file.extend_from_slice(MAGIC);
    file.extend(VERSION.to_le_bytes());
    file.extend((DENSE as u16).to_le_bytes());
    file.extend((BUCKET_BITS as u16).to_le_bytes());
    for head in &model.heads {
        file.extend(head.intercept.to_le_bytes());
        file.extend((head.curves.len() as u16).to_le_bytes());
        for curve in &head.curves {
            file.extend(curve.place.to_le_bytes());
            file.extend((curve.knots.len() as u16).to_le_bytes());
            for (x, y) in &curve.knots {
                file.extend(x.to_le_bytes());
                file.extend(y.to_le_bytes());
            }
        }
        file.extend((head.trees.len() as u16).to_le_bytes());
        for tree in &head.trees {
            file.push(tree.splits.len() as u8);
            for split in &tree.splits {
                file.extend(split.place.to_le_bytes());
                file.extend(split.threshold.to_le_bytes());
                file.extend([split.below, split.above].map(code));
            }
            file.extend(tree.leaves.iter().flat_map(|leaf| leaf.to_le_bytes()));
        }
        file.push(u8::from(!head.words.is_empty()));
        if !head.words.is_empty() {
            file.extend(head.words_scale.to_le_bytes());
            file.extend(head.words.iter().map(|weight| weight.cast_unsigned()));
        }
    }
    file.extend((model.quantiles.len() as u16).to_le_bytes());
    for quantile in &model.quantiles {
        file.extend(quantile.to_le_bytes());
    }
    let checksum = crc32fast::hash(&file);
    file.extend(checksum.to_le_bytes());
    file
}

/// Reads a file. Whatever it holds, a model that was read can be used.
pub(crate) fn read(file: &[u8]) -> Result<Model, WeightsError> {
    let mut header = Reader(file);
    if header.take(MAGIC.len()).ok() != Some(MAGIC) {
        return Err(WeightsError::Foreign);
    }
    let found = u32::from_le_bytes(header.array()?);
    if found != VERSION {
        return Err(WeightsError::Version { found });
    }
    let (body, checksum) = header
        .0
        .split_last_chunk()
        .map(|(body, last): (_, &[u8; 4])| (body, *last))
        .ok_or(SHORT)?;
    let covered = file.len() - checksum.len();
    if file.get(..covered).map(crc32fast::hash) != Some(u32::from_le_bytes(checksum)) {
        return Err(corrupt("its checksum differs"));
    }
    let mut rest = Reader(body);
    let shape = (rest.short()?, rest.short()?);
    if shape != (DENSE, BUCKET_BITS as usize) {
        return Err(corrupt("it measures other features"));
    }
    let mut model = Model::default();
    for head in &mut model.heads {
        *head = rest.head()?;
    }
    let quantiles = rest.short()?;
    model.quantiles = (0..quantiles).map(|_| rest.number()).collect::<Result<_, _>>()?;
    if !rest.0.is_empty() || !model.quantiles.is_sorted() {
        return Err(corrupt("its end is not as expected"));
    }
    Ok(model)
}

/// A child as one byte: its upper bit says that it is a leaf.
fn code(child: Child) -> u8 {
    match child {
        Child::Split(number) => number & !LEAF,
        Child::Leaf(number) => number | LEAF,
    }
}

fn child(code: u8) -> Child {
    if code & LEAF == 0 { Child::Split(code) } else { Child::Leaf(code & !LEAF) }
}

const LEAF: u8 = 0x80;

const SHORT: WeightsError = WeightsError::Corrupt { problem: "it is cut short" };

fn corrupt(problem: &'static str) -> WeightsError {
    WeightsError::Corrupt { problem }
}

/// What is left of a file.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], WeightsError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WeightsError> {
        self.take(N)?.try_into().map_err(|_| SHORT)
    }

    fn short(&mut self) -> Result<usize, WeightsError> {
        Ok(u16::from_le_bytes(self.array()?).into())
    }

    fn number(&mut self) -> Result<f32, WeightsError> {
        let number = f32::from_le_bytes(self.array()?);
        if number.is_finite() { Ok(number) } else { Err(corrupt("a number is not finite")) }
    }

    fn head(&mut self) -> Result<Head, WeightsError> {
        let intercept = self.number()?;
        let curves = (0..self.short()?).map(|_| self.curve()).collect::<Result<_, _>>()?;
        let trees = (0..self.short()?).map(|_| self.tree()).collect::<Result<_, _>>()?;
        let [has_words] = self.array()?;
        let mut head = Head { intercept, curves, trees, ..Head::default() };
        if has_words == 1 {
            head.words_scale = self.number()?;
            head.words = self.take(BUCKETS)?.iter().map(|weight| weight.cast_signed()).collect();
        }
        Ok(head)
    }

    /// A tree has one leaf more than splits.
    fn tree(&mut self) -> Result<Tree, WeightsError> {
        let [splits] = self.array()?;
        let splits = (0..splits).map(|_| self.split()).collect::<Result<_, _>>()?;
        let mut tree = Tree { splits, leaves: Vec::new() };
        tree.leaves = (0..=tree.splits.len()).map(|_| self.number()).collect::<Result<_, _>>()?;
        if tree.is_sound() { Ok(tree) } else { Err(corrupt("a tree leads nowhere")) }
    }

    fn split(&mut self) -> Result<Split, WeightsError> {
        let place = u16::from_le_bytes(self.array()?);
        let threshold = self.number()?;
        let [below, above] = self.array()?.map(child);
        Ok(Split { place, threshold, below, above })
    }

    fn curve(&mut self) -> Result<Curve, WeightsError> {
        let place = u16::from_le_bytes(self.array()?);
        let number = self.short()?;
        if usize::from(place) >= DENSE || number == 0 || number > KNOTS_MAX {
            return Err(corrupt("a curve is not as expected"));
        }
        let knots: Vec<_> = (0..number)
            .map(|_| Ok((self.number()?, self.number()?)))
            .collect::<Result<_, WeightsError>>()?;
        if !knots.is_sorted_by(|one, other| one.0 < other.0) {
            return Err(corrupt("a curve goes back"));
        }
        Ok(Curve { place, knots })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn model() -> Model {
        let mut model = Model { quantiles: vec![0.0, 0.5, 1.0], ..Model::default() };
        model.heads[1].intercept = 0.25;
        model.heads[1].curves = vec![Curve { place: 3, knots: vec![(0.0, 1.0), (2.0, -1.0)] }];
        let split =
            Split { place: 1, threshold: 0.5, below: Child::Leaf(1), above: Child::Leaf(0) };
        model.heads[0].trees = vec![
            Tree { splits: vec![split], leaves: vec![0.25, -0.25] },
            Tree { splits: vec![], leaves: vec![0.5] },
        ];
        model.heads[2].set_words(&vec![0.5; BUCKETS]);
        model
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(read(&write(&model())).unwrap(), model());
    }

    #[test]
    fn a_file_that_was_cut_short_is_refused_wherever_it_was_cut() {
        let file = write(&model());
        for length in (0..200).chain(file.len() - 40..file.len()) {
            assert!(read(&file[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let file = write(&model());
        for place in (0..80).chain(file.len() - 30..file.len()) {
            let mut changed = file.clone();
            changed[place] ^= 4;
            assert!(read(&changed).is_err(), "{place}");
        }
    }

    #[test]
    fn another_format_and_another_file_are_told_apart() {
        let mut file = write(&model());
        file[8] = 9;
        assert_eq!(read(&file), Err(WeightsError::Version { found: 9 }));
        assert_eq!(read(b"{\"weights\":[]}"), Err(WeightsError::Foreign));
        assert_eq!(read(b""), Err(WeightsError::Foreign));
    }

    #[test]
    fn a_wrong_number_behind_a_right_checksum_is_refused() {
        for (x, y) in [(f32::NAN, 0.0), (0.0, f32::INFINITY), (5.0, 0.0)] {
            let mut model = model();
            model.heads[1].curves[0].knots[0] = (x, y);
            assert!(matches!(read(&write(&model)), Err(WeightsError::Corrupt { .. })));
        }
    }
}
