//! Whether a model fits in memory, and which idle engines would have to go.

/// An engine that is used by nobody at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Idle {
    pub(super) number: u64,
    pub(super) bytes: u64,
}

/// Whether there is room.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It fits.
    Enough,
    /// It fits once these are gone.
    AfterUnloading(Vec<u64>),
    /// It does not fit.
    TooLittle,
}

/// Looks for `needed` bytes, given what is `available` and the idle engines, least recently
/// used first. No more are given up than necessary.
pub(super) fn find_room(needed: u64, available: u64, idle: &[Idle]) -> Room {
    let mut free = available;
    let mut unload = Vec::new();
    let mut candidates = idle.iter();
    while free < needed {
        let Some(next) = candidates.next() else { return Room::TooLittle };
        free = free.saturating_add(next.bytes);
        unload.push(next.number);
    }
    if unload.is_empty() { Room::Enough } else { Room::AfterUnloading(unload) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: u64 = 1;
    const NEW: u64 = 2;

    fn idle() -> Vec<Idle> {
        [(OLD, 10), (NEW, 30)].map(|(number, bytes)| Idle { number, bytes }).to_vec()
    }

    #[test]
    fn what_fits_displaces_nobody() {
        assert_eq!(find_room(5, 5, &idle()), Room::Enough);
    }

    #[test]
    fn the_least_recently_used_go_first_and_only_as_many_as_needed() {
        assert_eq!(find_room(15, 5, &idle()), Room::AfterUnloading(vec![OLD]));
        assert_eq!(find_room(16, 5, &idle()), Room::AfterUnloading(vec![OLD, NEW]));
    }

    #[test]
    fn nobody_is_displaced_in_vain() {
        assert_eq!(find_room(46, 5, &idle()), Room::TooLittle);
    }
}
