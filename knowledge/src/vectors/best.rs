//! The best of many.

/// The greatest of many numbers, and where they are.
pub(super) struct Best {
    count: usize,
    /// What is not more is not among them.
    pub(super) least: f32,
    all: Vec<(f32, usize)>,
}

impl Best {
    pub(super) fn of(count: usize) -> Self {
        Self { count, least: f32::NEG_INFINITY, all: Vec::with_capacity(2 * count) }
    }

    pub(super) fn add(&mut self, value: f32, row: usize) {
        if value > self.least {
            self.all.push((value, row));
            if self.all.len() == 2 * self.count {
                self.all.select_nth_unstable_by(self.count - 1, order);
                self.all.truncate(self.count);
                self.least = self.all[self.count - 1].0;
            }
        }
    }

    pub(super) fn sorted(mut self) -> Vec<(f32, usize)> {
        self.all.sort_unstable_by(order);
        self.all.truncate(self.count);
        self.all
    }
}

/// Greatest first, of equal ones the earlier row.
pub(super) fn order(left: &(f32, usize), right: &(f32, usize)) -> std::cmp::Ordering {
    right.0.total_cmp(&left.0).then(left.1.cmp(&right.1))
}
