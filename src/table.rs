//! Tables for people, and how numbers and times are written in them.

use engine::printable;
use jiff::Timestamp;
use unicode_width::UnicodeWidthStr;

/// The widest that a cell is shown.
const CELL_MAX: usize = 90;

/// A table with a line for the names of its columns.
#[derive(Debug)]
pub(crate) struct Table {
    names: Vec<String>,
    /// Whether the column is aligned at its right.
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
    /// Whether columns in which nothing stands are shown.
    empty: bool,
    /// Whether the last column is shown however wide it is.
    whole_end: bool,
}

impl Table {
    /// Columns whose name begins with `>` are aligned at their right.
    pub(crate) fn new(names: &[&str]) -> Self {
        Self {
            right: names.iter().map(|name| name.starts_with('>')).collect(),
            names: names.iter().map(|name| name.trim_start_matches('>').to_owned()).collect(),
            rows: Vec::new(),
            empty: false,
            whole_end: false,
        }
    }

    /// With the columns in which nothing stands.
    pub(crate) fn with_empty_columns(self) -> Self {
        Self { empty: true, ..self }
    }

    /// With the last column as it is: it says what to do, or which values there are.
    pub(crate) fn with_whole_end(self) -> Self {
        Self { whole_end: true, ..self }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        let last = self.names.len().saturating_sub(1);
        let most = |n: usize| if self.whole_end && n == last { usize::MAX } else { CELL_MAX };
        self.rows.push(cells.iter().enumerate().map(|(n, cell)| shown(cell, most(n))).collect());
    }

    /// Its lines; columns in which nothing stands are left out.
    pub(crate) fn lines(&self) -> Vec<String> {
        let cell = |row: &'_ Vec<String>, n: usize| row.get(n).map_or("", String::as_str).to_owned();
        let stands = |n: usize| self.rows.is_empty() || self.rows.iter().any(|row| !cell(row, n).is_empty());
        let kept: Vec<usize> = (0..self.names.len()).filter(|n| self.empty || stands(*n)).collect();
        let width = |n: usize| {
            let cells = self.rows.iter().map(|row| cell(row, n).width());
            cells.max().unwrap_or(0).max(self.names[n].width())
        };
        let widths: Vec<usize> = kept.iter().map(|n| width(*n)).collect();
        let line = |row: &Vec<String>| {
            let cells = kept.iter().zip(&widths).map(|(n, width)| {
                let text = cell(row, *n);
                let pad = " ".repeat(width - text.width());
                if self.right[*n] { format!("{pad}{text}") } else { format!("{text}{pad}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        std::iter::once(line(&self.names)).chain(self.rows.iter().map(line)).collect()
    }
}

/// A cell in one line.
fn shown(text: &str, most: usize) -> String {
    let plain = printable::line(text).into_owned();
    if plain.width() <= most {
        return plain;
    }
    let mut cut = String::new();
    for c in plain.chars() {
        cut.push(c);
        if cut.width() >= most {
            cut.pop();
            break;
        }
    }
    cut + "…"
}

/// `1234567` as `1,234,567`.
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A length of time.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let whole = std::time::Duration::from_secs_f64(seconds.clamp(0.0, 1e9)).as_secs();
    let (minutes, rest) = (whole / 60, whole % 60);
    if minutes < 60 { format!("{minutes} m {rest:02} s") } else { format!("{} h {:02} m", minutes / 60, minutes % 60) }
}

/// An instant in UTC, to the second.
pub(crate) fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_whatever_the_width_of_its_letters() {
        let mut table = Table::new(&["name", ">count", "none"]);
        table.row(vec!["Zoë 日本".to_owned(), "7".to_owned(), String::new()]);
        table.row(vec!["a\nb".to_owned(), number(1_234_567), String::new()]);
        assert_eq!(table.lines(), ["name          count", "Zoë 日本          7", "a b       1,234,567"]);
    }

    #[test]
    fn long_cells_are_cut_and_a_cure_at_the_end_never_is() {
        let cure = "tick Unique in Object Manager ".repeat(5);
        let mut table = Table::new(&["name", "usable"]).with_whole_end();
        table.row(vec![cure.clone(), cure.clone()]);
        let line = table.lines().remove(1);
        assert!(line.contains("…  tick") && line.ends_with(cure.trim_end()), "{line}");
    }

    #[test]
    fn numbers_and_times_are_written_for_people() {
        assert_eq!([0, 999, 1_000, 100_000].map(number), ["0", "999", "1,000", "100,000"]);
        assert_eq!([0.04, 61.0, 3_725.0].map(duration), ["0.0 s", "1 m 01 s", "1 h 02 m"]);
    }
}
