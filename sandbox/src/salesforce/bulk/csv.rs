//! The CSV of bulk jobs: six delimiters, two line endings, and no leniency about quotes.

use std::borrow::Cow;

use super::super::error::Error;

/// How a job's files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    /// Between two cells.
    pub(super) delimiter: u8,
    /// Lines end with CR LF.
    pub(super) crlf: bool,
}

/// Delimiters by their names.
const DELIMITERS: &[(&str, u8)] =
    &[("BACKQUOTE", b'`'), ("CARET", b'^'), ("COMMA", b','), ("PIPE", b'|'), ("SEMICOLON", b';'), ("TAB", b'\t')];

impl Format {
    /// The format of these names.
    pub(super) fn new(delimiter: &str, line_ending: &str) -> Result<Self, Error> {
        let wrong = |what: &str, given: &str| Error::new("INVALIDJOB", format!("InvalidJob : Invalid {what}: {given}"));
        let known = DELIMITERS.iter().find(|(name, _)| *name == delimiter);
        let (_, delimiter) = known.ok_or_else(|| wrong("columnDelimiter", delimiter))?;
        match line_ending {
            "LF" | "CRLF" => Ok(Self { delimiter: *delimiter, crlf: line_ending == "CRLF" }),
            other => Err(wrong("lineEnding", other)),
        }
    }

    /// The delimiter's name.
    pub(super) fn delimiter_name(self) -> &'static str {
        DELIMITERS.iter().find(|(_, byte)| *byte == self.delimiter).map_or("COMMA", |(name, _)| name)
    }

    /// The line ending's name.
    pub(super) fn line_ending_name(self) -> &'static str {
        if self.crlf { "CRLF" } else { "LF" }
    }

    /// Appends a quoted cell.
    pub(super) fn write_cell(out: &mut Vec<u8>, text: &[u8]) {
        out.push(b'"');
        let mut rest = text;
        while let Some(at) = memchr::memchr(b'"', rest) {
            out.extend_from_slice(&rest[..=at]);
            out.push(b'"');
            rest = &rest[at + 1..];
        }
        out.extend_from_slice(rest);
        out.push(b'"');
    }

    /// Appends a row of quoted cells.
    pub(super) fn write_row<'a>(self, out: &mut Vec<u8>, cells: impl Iterator<Item = &'a [u8]>) {
        for (place, cell) in cells.enumerate() {
            if place > 0 {
                out.push(self.delimiter);
            }
            Self::write_cell(out, cell);
        }
        self.end_row(out);
    }

    /// Appends the end of a row.
    pub(super) fn end_row(self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.crlf { b"\r\n" } else { b"\n" });
    }
}

/// The rows of a file.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    text: &'a str,
    at: usize,
    format: Format,
}

/// One row.
#[derive(Debug, Default)]
pub(super) struct Row<'a> {
    /// Its cells.
    pub(super) cells: Vec<Cow<'a, str>>,
    /// Its place in the file: first byte, and first byte behind it.
    pub(super) span: (usize, usize),
    /// Why it cannot be read, if it cannot.
    pub(super) problem: Option<&'static str>,
}

impl<'a> Rows<'a> {
    /// The rows from a byte on.
    pub(super) fn new(text: &'a str, at: usize, format: Format) -> Self {
        Self { text, at, format }
    }

    /// The byte at which the next row begins.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Reads the next row that is not empty into `row`. False at the end.
    pub(super) fn read(&mut self, row: &mut Row<'a>) -> bool {
        while self.at < self.text.len() {
            row.cells.clear();
            (row.span.0, row.problem) = (self.at, None);
            while !self.cell(row) {}
            row.span.1 = self.at;
            if row.cells.len() > 1 || row.cells.first().is_some_and(|cell| !cell.is_empty()) {
                return true;
            }
        }
        false
    }

    /// Reads a cell. True if it is the last of its row.
    fn cell(&mut self, row: &mut Row<'a>) -> bool {
        let rest = &self.text[self.at..];
        let cell = if rest.starts_with('"') { self.quoted(row) } else { None };
        let rest = &self.text[self.at..];
        let end = memchr::memchr2(self.format.delimiter, b'\n', rest.as_bytes()).unwrap_or(rest.len());
        let ends_row = rest.as_bytes().get(end) != Some(&self.format.delimiter);
        let mut plain = &rest[..end];
        if ends_row && self.format.crlf {
            plain = plain.strip_suffix('\r').unwrap_or(plain);
        }
        self.at += (end + 1).min(rest.len());
        match cell {
            Some(_) if !plain.is_empty() => row.problem = Some("Unexpected character beside a quote"),
            None if memchr::memchr(b'"', plain.as_bytes()).is_some() => {
                row.problem = Some("Unexpected quote in a cell that does not begin with one");
            }
            _ => {}
        }
        row.cells.push(cell.unwrap_or(Cow::Borrowed(plain)));
        // A delimiter at the very end of the file has an empty cell behind it.
        if !ends_row && self.at == self.text.len() {
            row.cells.push(Cow::Borrowed(""));
            return true;
        }
        ends_row
    }

    /// Reads a cell in quotes up to behind its last one.
    fn quoted(&mut self, row: &mut Row<'a>) -> Option<Cow<'a, str>> {
        let start = self.at + 1;
        let mut at = start;
        let mut is_doubled = false;
        loop {
            let Some(found) = memchr::memchr(b'"', &self.text.as_bytes()[at..]) else {
                row.problem = Some("A quote is not closed");
                self.at = self.text.len();
                return Some(Cow::Borrowed(&self.text[start..]));
            };
            at += found + 1;
            if self.text.as_bytes().get(at) != Some(&b'"') {
                break;
            }
            is_doubled = true;
            at += 1;
        }
        self.at = at;
        let inner = &self.text[start..at - 1];
        Some(if is_doubled { Cow::Owned(inner.replace("\"\"", "\"")) } else { Cow::Borrowed(inner) })
    }
}

#[cfg(test)]
mod tests {
    use super::{Format, Row, Rows};
    use proptest::prelude::*;

    fn read(text: &str, format: Format) -> Vec<(Vec<String>, bool)> {
        let mut rows = Rows::new(text, 0, format);
        let mut row = Row::default();
        let mut all = Vec::new();
        while rows.read(&mut row) {
            all.push((row.cells.iter().map(|cell| cell.to_string()).collect(), row.problem.is_some()));
        }
        all
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(rows in prop::collection::vec(prop::collection::vec("[a-c\"\r\n,;é ]{0,6}", 2..5), 1..6), crlf: bool) {
            let format = Format { delimiter: b';', crlf };
            let mut text = Vec::new();
            for row in &rows {
                format.write_row(&mut text, row.iter().map(String::as_bytes));
            }
            let expected: Vec<_> = rows.into_iter().map(|row| (row, false)).collect();
            prop_assert_eq!(read(&String::from_utf8(text).unwrap(), format), expected);
        }

        #[test]
        fn nothing_makes_it_panic_or_stand_still(text in "[a\"\r\n,é]{0,40}") {
            read(&text, Format { delimiter: b',', crlf: true });
        }
    }

    #[test]
    fn a_character_beside_a_quote_spoils_its_row_only() {
        let format = Format { delimiter: b',', crlf: false };
        let rows = read("a,b\n \"x\",y\n\"x\" ,y\nx,\n\nlast,", format);
        let problems: Vec<bool> = rows.iter().map(|(_, has_problem)| *has_problem).collect();
        assert_eq!(problems, [false, true, true, false, false]);
        assert_eq!(rows[4].0, ["last", ""]);
    }
}
