//! Tables as lines of text.

use super::gatherer::squeezed;

/// The line below the head of a table.
pub(crate) const HEAD_RULE: &str = "---";
/// What stands between the cells of a row.
const CELL_GAP: &str = " | ";

/// Gathers the rows of a table.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    /// Whether the first row names the columns.
    pub(super) headed: bool,
    bytes: usize,
}

impl Table {
    /// A table whose first row names the columns.
    pub(super) fn headed() -> Self {
        Self { headed: true, ..Self::default() }
    }

    pub(super) fn row(&mut self) {
        self.rows.push(Vec::new());
    }

    pub(super) fn cell(&mut self, text: &str) {
        let text = squeezed(text);
        self.bytes += text.len() + CELL_GAP.len();
        if self.rows.is_empty() {
            self.row();
        }
        if let Some(row) = self.rows.last_mut() {
            row.push(text);
        }
    }

    /// Bytes of text gathered.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it has one column, so that it is used for layout and no table.
    pub(super) fn is_layout(&self) -> bool {
        self.rows.iter().all(|row| row.len() < 2)
    }

    /// The texts of its cells.
    pub(super) fn cells(&self) -> Vec<String> {
        self.rows.iter().flatten().cloned().collect()
    }

    /// A line for each row that has text, and a rule of dashes below the head.
    pub(super) fn text(&self) -> String {
        let mut lines = Vec::with_capacity(self.rows.len() + 1);
        for (number, row) in self.rows.iter().enumerate() {
            if row.iter().any(|cell| !cell.is_empty()) {
                lines.push(row.join(CELL_GAP));
                if number == 0 && self.headed {
                    lines.push(vec![HEAD_RULE; row.len()].join(CELL_GAP));
                }
            }
        }
        lines.join("\n")
    }
}
