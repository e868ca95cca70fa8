//! Where lines go: results to stdout, everything else to stderr, past the progress bars.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use engine::printable;
use indicatif::{MultiProgress, ProgressDrawTarget};
use serde::Serialize;

static BARS: OnceLock<MultiProgress> = OnceLock::new();

/// The progress bars; drawn only where stderr is a terminal.
pub(crate) fn bars() -> &'static MultiProgress {
    BARS.get_or_init(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
}

/// Whether somebody watches stderr.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Whether stderr may have colours.
pub(crate) fn has_colours() -> bool {
    is_watched() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// How wide the terminal is that the result goes to; none for a pipe or a file.
pub(crate) fn width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// How wide the terminal is that messages go to; none for a pipe or a file.
pub(crate) fn note_width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stderr()).map(|(width, _)| usize::from(width.0))
}

/// A line of the result. Who stops reading it (`| head`) does no harm. Nothing in it is an instruction to the terminal.
pub(crate) fn line(text: &str) {
    let text = printable::lines(text);
    bars().suspend(|| writeln!(io::stdout().lock(), "{text}").ok());
}

/// A line for who watches. Nothing in it is an instruction to the terminal.
pub(crate) fn note(text: &str) {
    coloured(&printable::lines(text));
}

/// A line for who watches that has colours of ours: of an instruction to the terminal, only a colour (`ESC [ 31 m`) stays.
pub(crate) fn coloured(text: &str) {
    let mut parts = text.split('\u{1b}');
    let mut shown = printable::lines(parts.next().unwrap_or_default()).into_owned();
    for part in parts {
        let code = part.strip_prefix('[').and_then(|part| part.split_once('m'));
        let is_colour = code.is_some_and(|(code, _)| code.bytes().all(|byte| byte.is_ascii_digit() || byte == b';'));
        shown.push(if is_colour { '\u{1b}' } else { '\u{fffd}' });
        shown.push_str(&printable::lines(part));
    }
    bars().suspend(|| writeln!(io::stderr().lock(), "{shown}").ok());
}

/// One JSON value as a line of the result.
pub(crate) fn json(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => line(&escaped(&text)),
        Err(error) => note(&format!("the result cannot be written as JSON: {error}")),
    }
}

/// The same JSON: what serde_json leaves in texts although a terminal may obey it is written as `\u…`.
fn escaped(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        match printable::is_instruction(c) {
            true => shown.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => shown.push(c),
        }
    }
    shown
}

/// Lets the log pass the progress bars.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        bars().suspend(|| io::stderr().lock().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_the_same_value_without_what_a_terminal_may_obey() {
        let value = serde_json::json!({ "a": "x\u{1b}[2J\u{9b}2J\u{202e}y\nz", "é": ["李"] });
        let written = escaped(&serde_json::to_string(&value).unwrap());
        assert!(!written.contains(printable::is_instruction), "{written}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), value);
    }
}
