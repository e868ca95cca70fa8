//! Where lines go: results to stdout, everything else to stderr, past the progress bars.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

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

/// A line of the result. Who stops reading it (`| head`) does no harm.
pub(crate) fn line(text: &str) {
    bars().suspend(|| writeln!(io::stdout().lock(), "{text}").ok());
}

/// A line for who watches.
pub(crate) fn note(text: &str) {
    bars().suspend(|| writeln!(io::stderr().lock(), "{text}").ok());
}

/// One JSON value as a line of the result.
pub(crate) fn json(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => line(&text),
        Err(error) => note(&format!("the result cannot be written as JSON: {error}")),
    }
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
