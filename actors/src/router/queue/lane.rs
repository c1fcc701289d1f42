//! What waits with one priority: the clients take turns, and each has its own questions answered in the
//! order in which it asked them.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

/// Clients in the order of their turns, each with what waits of it, oldest first, which is never
/// nothing.
#[derive(Debug)]
pub(super) struct Lane<T>(VecDeque<(Arc<str>, VecDeque<T>)>);

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Lane<T> {
    /// A client that has nothing waiting gets the last turn.
    pub(super) fn push(&mut self, client: &Arc<str>, item: T) {
        match self.0.iter_mut().find(|(other, _)| other == client) {
            Some((_, items)) => items.push_back(item),
            None => self.0.push_back((Arc::clone(client), VecDeque::from([item]))),
        }
    }

    /// The next item. Its client's next turn comes after those of all others.
    pub(super) fn pop(&mut self) -> Option<T> {
        let (client, mut items) = self.0.pop_front()?;
        let item = items.pop_front();
        if !items.is_empty() {
            self.0.push_back((client, items));
        }
        item
    }

    /// Removes the items that are meant, with their clients.
    pub(super) fn take(&mut self, meant: impl Fn(&T) -> bool) -> Vec<(Arc<str>, T)> {
        let mut taken = Vec::new();
        for (client, items) in self.0.iter_mut().filter(|(_, items)| items.iter().any(&meant)) {
            let (gone, kept): (VecDeque<T>, _) = mem::take(items).into_iter().partition(&meant);
            *items = kept;
            taken.extend(gone.into_iter().map(|item| (Arc::clone(client), item)));
        }
        self.0.retain(|(_, items)| !items.is_empty());
        taken
    }

    /// Shows `each` all items in the order in which they would be popped.
    pub(super) fn each_in_turn(&mut self, mut each: impl FnMut(&mut T)) {
        let mut clients: Vec<_> = self.0.iter_mut().map(|(_, items)| items.iter_mut()).collect();
        while !clients.is_empty() {
            clients.retain_mut(|items| items.next().map(&mut each).is_some());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|(_, items)| items.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(items: &[(&str, u32)]) -> Lane<u32> {
        let mut lane = Lane::default();
        for (client, item) in items {
            lane.push(&Arc::from(*client), *item);
        }
        lane
    }

    fn popped(lane: &mut Lane<u32>) -> Vec<u32> {
        std::iter::from_fn(|| lane.pop()).collect()
    }

    #[test]
    fn a_client_with_one_question_is_not_behind_all_of_another() {
        let mut lane = lane(&[("a", 1), ("a", 2), ("a", 3), ("b", 4), ("c", 5), ("b", 6)]);
        assert_eq!(popped(&mut lane), [1, 4, 5, 2, 6, 3]);
    }

    #[test]
    fn what_is_shown_in_turn_is_what_is_popped_in_turn() {
        let mut lane = lane(&[("a", 1), ("b", 2), ("a", 3), ("c", 4), ("a", 5), ("c", 6)]);
        assert_eq!(lane.pop(), Some(1));
        let mut shown = Vec::new();
        lane.each_in_turn(|item| shown.push(*item));
        assert_eq!(shown, popped(&mut lane));
    }

    #[test]
    fn a_client_whose_questions_were_taken_has_no_turn() {
        let mut lane = lane(&[("a", 1), ("a", 2), ("b", 3), ("a", 4)]);
        let taken = lane.take(|item| [1, 3].contains(item));
        assert_eq!(taken, [(Arc::from("a"), 1), (Arc::from("b"), 3)]);
        assert_eq!(lane.len(), 2);
        assert_eq!(popped(&mut lane), [2, 4]);
    }
}
