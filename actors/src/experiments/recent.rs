//! Which turns were answered of late, so that a verdict finds its turn. Nothing of what was said.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tandem_proto::v1::VariantName;

/// Most turns that are remembered.
const TURNS_MAX: usize = 4096;

/// A turn that was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answered {
    /// Its id.
    pub turn_id: String,
    /// Its conversation; empty for a turn of its own.
    pub conversation_id: String,
    /// The slow track's answer counts; else the fast one's.
    pub slow: bool,
    /// Model or provider that answered.
    pub model: String,
    /// Nothing of it may ever leave the machine.
    pub private: bool,
    /// Its variants.
    pub variants: Vec<VariantName>,
}

/// The turns that were answered last, of this life of the daemon. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Recent(Arc<Mutex<VecDeque<Answered>>>);

impl Recent {
    /// Remembers a turn, in the place of the oldest one when there are many.
    pub fn remember(&self, turn: Answered) {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() == TURNS_MAX {
            turns.pop_front();
        }
        turns.push_back(turn);
    }

    /// The turn of this id; the last one, where it is empty.
    #[must_use]
    pub fn find(&self, turn_id: &str) -> Option<Answered> {
        let turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match turn_id {
            "" => turns.back().cloned(),
            id => turns.iter().rev().find(|turn| turn.turn_id == id).cloned(),
        }
    }
}
