//! Tables for people, and how numbers and times are written in them.

use engine::printable;
use engine::words::noun;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::terminal;

/// The most lines of a cell in a terminal. A pipe gets all of it.
const CELL_LINES_MAX: usize = 12;
/// A column is made no narrower than this to fit the terminal.
const COLUMN_MIN: usize = 8;
/// The gap between columns.
const GAP: usize = 2;

/// A table with a line for the names of its columns.
#[derive(Debug)]
pub(crate) struct Table {
    names: Vec<String>,
    /// Whether the column is aligned at its right.
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
    /// Whether columns without any text are shown.
    empty: bool,
}

impl Table {
    /// Columns whose name begins with `>` are aligned at their right.
    pub(crate) fn new(names: &[&str]) -> Self {
        Self {
            right: names.iter().map(|name| name.starts_with('>')).collect(),
            names: names.iter().map(|name| name.trim_start_matches('>').to_owned()).collect(),
            rows: Vec::new(),
            empty: false,
        }
    }

    /// With the columns that have no text in any row.
    pub(crate) fn with_empty_columns(self) -> Self {
        Self { empty: true, ..self }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells.iter().map(|cell| in_one_line(cell)).collect());
    }

    /// Prints it to stdout, each line after an indent: in a terminal no wider than that, else each row in one line.
    pub(crate) fn print(&self, indent: &str) {
        let width = terminal::width().map(|width| width.saturating_sub(indent.len()));
        self.lines(width).iter().for_each(|line| terminal::line(&format!("{indent}{line}")));
    }

    /// Its lines; columns without any text are left out. In a width, longer cells go on in further lines.
    pub(crate) fn lines(&self, width: Option<usize>) -> Vec<String> {
        let cell = |row: &'_ Vec<String>, n: usize| row.get(n).cloned().unwrap_or_default();
        let has_text = |n: usize| self.rows.is_empty() || self.rows.iter().any(|row| !cell(row, n).is_empty());
        let kept: Vec<usize> = (0..self.names.len()).filter(|n| self.empty || has_text(*n)).collect();
        let (widths, gap) = self.widths(&kept, width);
        let all = std::iter::once(&self.names).chain(&self.rows);
        let mut lines = Vec::new();
        for row in all {
            let cells: Vec<Vec<String>> = kept
                .iter()
                .zip(&widths)
                .map(|(n, most)| match width {
                    Some(_) => shortened(wrapped(&cell(row, *n), *most)),
                    None => vec![cell(row, *n)],
                })
                .collect();
            let height = cells.iter().map(Vec::len).max().unwrap_or(1).max(1);
            for place in 0..height {
                let cells = kept.iter().zip(&widths).zip(&cells).map(|((n, width), cell)| {
                    let text = cell.get(place).map_or("", String::as_str);
                    let pad = " ".repeat(width.saturating_sub(text.width()));
                    if self.right[*n] { format!("{pad}{text}") } else { format!("{text}{pad}") }
                });
                lines.push(cells.collect::<Vec<_>>().join(&" ".repeat(gap)).trim_end().to_owned());
            }
        }
        lines
    }

    /// How wide these columns are, and the gaps between them: as their widest cell, less where they do not fit, the widest
    /// first. Numbers keep theirs.
    fn widths(&self, kept: &[usize], width: Option<usize>) -> (Vec<usize>, usize) {
        let cells =
            |n: usize| self.rows.iter().filter_map(move |row| row.get(n)).map(|cell| cell.width()).max().unwrap_or(0);
        let words = |text: &str| text.split(' ').map(UnicodeWidthStr::width).max().unwrap_or(0);
        let longest_word =
            |n: usize| self.rows.iter().filter_map(|row| row.get(n)).map(|cell| words(cell)).max().unwrap_or(0);
        let mut widths: Vec<usize> = kept.iter().map(|n| cells(*n).max(self.names[*n].width())).collect();
        let Some(most) = width else { return (widths, GAP) };
        let least = |n: usize, cuts: bool| match self.right[n] {
            true => cells(n).max(words(&self.names[n])),
            false if cuts => COLUMN_MIN,
            false => longest_word(n).max(words(&self.names[n])).max(COLUMN_MIN),
        };
        // First no word is cut; where that is not enough, words are, and the gaps are narrow.
        for (cuts, gap) in [(false, GAP), (true, GAP), (true, 1)] {
            let gaps = gap * kept.len().saturating_sub(1);
            let least: Vec<usize> = kept.iter().map(|n| least(*n, cuts)).collect();
            loop {
                let all = widths.iter().sum::<usize>() + gaps;
                if all <= most {
                    return (widths, gap);
                }
                let widest = (0..widths.len()).filter(|n| widths[*n] > least[*n]).max_by_key(|n| widths[*n]);
                let Some(widest) = widest else { break };
                // Down to the next widest, so that no column pays for all.
                let next = (0..widths.len()).filter(|n| *n != widest && widths[*n] < widths[widest]);
                let next = next.map(|n| widths[n]).max().unwrap_or(0);
                let target = widths[widest].saturating_sub(all - most).max(next).max(least[widest]);
                widths[widest] = target.min(widths[widest] - 1);
            }
        }
        (widths, 1)
    }
}

/// Without line ends and other characters that would move the cursor.
fn in_one_line(text: &str) -> String {
    printable::line(text).into_owned()
}

/// The lines of a text that is wrapped at spaces; a longer word is cut.
pub(crate) fn wrapped(text: &str, most: usize) -> Vec<String> {
    let most = most.max(1);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last().map_or(0, |line| line.width());
        let is_first = line == 0;
        let fits = line + usize::from(!is_first) + word.width() <= most;
        match lines.last_mut() {
            Some(line) if fits => {
                if !is_first {
                    line.push(' ');
                }
                line.push_str(word);
            }
            _ => {
                if !is_first {
                    lines.push(String::new());
                }
                cut_word(word, most, &mut lines);
            }
        }
    }
    lines
}

fn cut_word(word: &str, most: usize, lines: &mut Vec<String>) {
    for c in word.chars() {
        let is_full = lines.last().is_some_and(|line| !line.is_empty() && line.width() + c.width().unwrap_or(0) > most);
        if is_full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            line.push(c);
        }
    }
}

/// At most [`CELL_LINES_MAX`] lines; `…` stands for the rest.
fn shortened(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > CELL_LINES_MAX {
        lines.truncate(CELL_LINES_MAX - 1);
        lines.push("…".to_owned());
    }
    lines
}

/// `1 record`, `2,000 records`.
pub(crate) fn counted(n: u64, one: &str) -> String {
    format!("{} {}", number(n), noun(n, one))
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

/// A time that is still to come, on the clock of who reads it, and how far it is: `10:42:03 (in 8 min)`.
pub(crate) fn upcoming(at: Timestamp, seconds_left: u64) -> String {
    let zone = TimeZone::system();
    let now = at.checked_sub(SignedDuration::from_secs(seconds_left.try_into().unwrap_or(i64::MAX)));
    let is_today = now.is_ok_and(|now| now.to_zoned(zone.clone()).date() == at.to_zoned(zone.clone()).date());
    let form = if is_today { "%H:%M:%S" } else { "%a %Y-%m-%d %H:%M:%S" };
    let left = match seconds_left {
        0 => "now".to_owned(),
        s if s < 60 => format!("in {s} s"),
        s if s < 3_600 => format!("in {} min", s.div_ceil(60)),
        s if s < 48 * 3_600 => format!("in {} h {:02} min", s / 3_600, s % 3_600 / 60),
        s => format!("in {} days", s / 86_400),
    };
    format!("{} ({left})", at.to_zoned(zone).strftime(form))
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
        assert_eq!(table.lines(None), ["name          count", "Zoë 日本          7", "a b       1,234,567"]);
    }

    #[test]
    fn a_pipe_gets_each_row_whole_in_one_line() {
        let long = "tick Unique in Object Manager ".repeat(5);
        let mut table = Table::new(&["name", "usable"]);
        table.row(vec![long.clone(), long.clone()]);
        assert_eq!(table.lines(None)[1], format!("{long}  {}", long.trim_end()));
    }

    #[test]
    fn a_column_of_zeros_stays() {
        let mut table = Table::new(&["ACTIVITY", ">IN", "NOTE"]);
        table.row(vec!["save".to_owned(), number(0), String::new()]);
        assert_eq!(table.lines(None), ["ACTIVITY  IN", "save       0"]);
    }

    #[test]
    fn a_terminal_gets_lines_that_fit_with_whole_words_and_numbers() {
        let mut table = Table::new(&["ACTIVITY", ">RECORDS", "COUNTS"]);
        table.row(vec!["save".to_owned(), number(1_000_000), "inserted 12 · updated 7 · unchanged 5".to_owned()]);
        assert_eq!(
            table.lines(Some(40)),
            [
                "ACTIVITY    RECORDS  COUNTS",
                "save      1,000,000  inserted 12 ·",
                "                     updated 7 ·",
                "                     unchanged 5",
            ]
        );
        assert_eq!(table.lines(Some(80)).len(), 2, "what fits stays in one line");
    }

    #[test]
    fn a_table_of_many_columns_fits_a_terminal_of_80() {
        let mut table = Table::new(&[
            ">TASK",
            "ACTIVITY",
            "TYPE",
            "STATUS",
            ">ATTEMPT",
            ">SECS",
            ">IN",
            ">ADDED",
            ">REJECTS",
            ">IN DOUBT",
            "COUNTS",
        ]);
        let cells = [
            "1",
            "save",
            "database.update",
            "finished",
            "1",
            "0.6",
            "7",
            "0",
            "0",
            "0",
            "ok 7 · unchanged 4 · updated 3",
        ];
        table.row(cells.map(str::to_owned).to_vec());
        for width in [1, 20, 80, 100] {
            let lines = table.lines(Some(width));
            assert!(width < 80 || lines.iter().all(|line| line.width() <= width), "{lines:#?}");
        }
    }

    #[test]
    fn a_word_is_cut_only_if_the_columns_would_not_fit_otherwise() {
        let id = "0123456789".repeat(4);
        let mut table = Table::new(&["ID", "MESSAGE"]);
        table.row(vec![id.clone(), "the field is too long for the column".to_owned()]);
        let lines = table.lines(Some(60));
        assert!(lines[1].starts_with(&id) && lines.len() == 4, "{lines:#?}");
        let lines = table.lines(Some(40));
        assert!(lines.iter().all(|line| line.width() <= 40), "{lines:#?}");
        let joined: String = lines[1..].iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(joined, id, "nothing is lost");
    }

    #[test]
    fn a_time_to_come_shows_how_far_it_is() {
        let at: Timestamp = "2026-11-30T10:42:03Z".parse().unwrap();
        let left = |seconds| upcoming(at, seconds).split_once(" (").unwrap().1.to_owned();
        assert_eq!(
            [0, 59, 61, 5_400, 259_200].map(left),
            ["now)", "in 59 s)", "in 2 min)", "in 1 h 30 min)", "in 3 days)"]
        );
        assert!(upcoming(at, 259_200).contains("2026"), "another day is named");
    }

    #[test]
    fn numbers_and_times_are_written_for_people() {
        assert_eq!([0, 999, 1_000, 100_000].map(number), ["0", "999", "1,000", "100,000"]);
        assert_eq!([0.04, 61.0, 3_725.0].map(duration), ["0.0 s", "1 m 01 s", "1 h 02 m"]);
        assert_eq!([0, 1, 2_000].map(|n| counted(n, "record")), ["0 records", "1 record", "2,000 records"]);
    }
}
