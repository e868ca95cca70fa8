//! Text from records and servers as it may be shown to people: nothing in it moves a cursor, begins a line of its own, or
//! turns the order of what is read.

use std::borrow::Cow;

/// Stands for what may not be shown.
const INSTEAD: char = '\u{fffd}';

/// Whether a terminal or a reader would take this character for an instruction rather than show it: control characters,
/// marks of bidirectional text, and separators of lines and paragraphs.
pub fn is_instruction(c: char) -> bool {
    let is_mark = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || is_mark || matches!(c, '\u{2028}' | '\u{2029}')
}

/// A text in one line: ends of lines and tabs become spaces, other instructions become the replacement character.
pub fn line(text: &str) -> Cow<'_, str> {
    replaced(text, |_| false)
}

/// A text of several lines: as [`line`], but the ends of lines stay.
pub fn lines(text: &str) -> Cow<'_, str> {
    replaced(text, |c| c == '\n')
}

fn replaced(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let goes = |c: char| is_instruction(c) && !stays(c);
    if !text.contains(goes) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| match c {
        c if !goes(c) => c,
        '\n' | '\r' | '\t' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
        _ => INSTEAD,
    };
    Cow::Owned(text.replace("\r\n", "\n").chars().map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_record_says_is_shown_and_not_obeyed() {
        assert_eq!(line("a\r\nb\tc"), "a b c");
        assert_eq!(lines("a\r\nb\nc"), "a\nb\nc");
        for instruction in
            ['\u{1b}', '\u{7}', '\u{8}', '\u{7f}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{200f}', '\u{61c}']
        {
            assert_eq!(line(&format!("a{instruction}[31mb")), "a\u{fffd}[31mb", "{instruction:?}");
            assert_eq!(lines(&format!("a{instruction}[31mb")), "a\u{fffd}[31mb", "{instruction:?}");
        }
        assert!(matches!(line("Zoë שלום 李 👩\u{200d}🚀"), Cow::Borrowed(_)));
    }
}
