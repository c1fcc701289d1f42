//! Reading documents of all formats, good and hostile ones.
#![allow(clippy::unwrap_used, clippy::format_collect, clippy::format_push_string, reason = "tests")]

mod files;
mod hostile;
mod pages;
mod texts;
mod writer;

use super::*;
use crate::Kind;

fn read_as(text: &str, format: Format) -> Reading {
    read(text.as_bytes(), format, &Limits::default()).unwrap()
}

/// Kind and text of each block.
fn blocks(reading: &Reading) -> Vec<(Kind, &str)> {
    reading.blocks.iter().map(|block| (block.kind, block.text.as_str())).collect()
}

/// The headings above the block with this text.
fn above<'a>(reading: &'a Reading, text: &str) -> &'a [String] {
    &reading.blocks.iter().find(|block| block.text == text).unwrap().place.headings
}
