//! What a script may do to the outside.

use std::any::TypeId;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::defaults::OPTION_OR_NULL;
use super::rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, Position};
use super::{shown, values};
use crate::expr::Value;

/// What a script sees of the outside.
pub trait Host: Send + Sync + 'static {
    /// An option's value.
    ///
    /// # Errors
    /// Why it cannot be read; the script ends.
    fn option(&self, name: &str) -> Result<Option<String>, String>;

    /// Whether it is the option of one of the workflow's own automatic indexes, which is null before the first import.
    fn is_index(&self, _: &str) -> bool {
        false
    }

    /// Sets an option, at once.
    ///
    /// # Errors
    /// Why it cannot be set; the script ends.
    fn set_option(&self, name: &str, value: &str) -> Result<(), String>;

    /// Writes to the run's log.
    fn log(&self, level: Level, message: &str);

    /// What `now()` gives; asked once.
    fn now(&self) -> Timestamp;

    /// The workflow's time zone.
    fn zone(&self) -> TimeZone {
        TimeZone::UTC
    }
}

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// `log_info`, `print`
    Info,
    /// `log_warning`
    Warning,
    /// `log_error`, which also ends the script
    Error,
}

/// Why a script ends without that it could catch it.
#[derive(Debug, Clone)]
pub(super) enum Stop {
    Deadline,
    Cancelled,
    Error(String),
    Host(String),
    /// An option that is not set.
    Unset(String),
}

fn stop(stop: Stop) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorTerminated(Dynamic::from(stop), Position::NONE))
}

/// Registers what a script may do to the outside.
pub(super) fn register(engine: &mut Engine, host: &Arc<dyn Host>, log_bytes: usize) {
    let any = TypeId::of::<Dynamic>();
    let text = TypeId::of::<ImmutableString>();
    let log = Arc::new(Log { host: Arc::clone(host), left: AtomicUsize::new(log_bytes) });
    for (name, level) in [("log_info", Level::Info), ("log_warning", Level::Warning), ("log_error", Level::Error)] {
        let log = Arc::clone(&log);
        engine.register_raw_fn(name, [any], move |_, args| {
            let message = shown(args[0]);
            log.write(level, &message);
            if level == Level::Error { Err(stop(Stop::Error(message))) } else { Ok(()) }
        });
    }
    let (print, debug) = (Arc::clone(&log), log);
    engine.on_print(move |message| print.write(Level::Info, message));
    engine.on_debug(move |message, _, _| debug.write(Level::Info, message));

    let reader = Arc::clone(host);
    let read = move |name: &Dynamic| match reader.option(&name.to_string()) {
        Ok(value) => Ok(value.map(Dynamic::from)),
        Err(message) => Err(stop(Stop::Host(message))),
    };
    let (set, or_null, indexes) = (read.clone(), read.clone(), Arc::clone(host));
    engine.register_raw_fn("option", [text], move |_, args| match set(args[0])? {
        Some(value) => Ok(value),
        None if indexes.is_index(&args[0].to_string()) => Ok(Dynamic::UNIT),
        None => Err(stop(Stop::Unset(args[0].to_string()))),
    });
    engine.register_raw_fn(OPTION_OR_NULL, [text], move |_, args| Ok(or_null(args[0])?.unwrap_or(Dynamic::UNIT)));
    let or_else = read.clone();
    engine.register_raw_fn("option", [text, any], move |_, args| match or_else(args[0])? {
        Some(value) => Ok(value),
        None => Ok(args[1].clone()),
    });
    engine.register_raw_fn("has_option", [text], move |_, args| Ok(read(args[0])?.is_some()));
    let writer = Arc::clone(host);
    engine.register_raw_fn("set_option", [text, any], move |_, args| {
        let value = match values::of_dynamic(args[1]).map_err(values::failed)? {
            Value::Null => return Err(values::failed("an option cannot be set to null")),
            // As the automatic index writes its options.
            Value::DateTime(at) => at.strftime("%Y/%m/%d %H:%M:%S").to_string(),
            value => value.to_string(),
        };
        writer.set_option(&args[0].to_string(), &value).map_err(|message| stop(Stop::Host(message)))
    });
}

/// The log, until the script has written all that it may.
struct Log {
    host: Arc<dyn Host>,
    left: AtomicUsize,
}

impl Log {
    fn write(&self, level: Level, message: &str) {
        let taken =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(message.len()));
        match taken {
            Ok(_) => self.host.log(level, message),
            // Once, and then nothing any more.
            Err(0) => {}
            Err(_) => {
                self.left.store(0, Ordering::Relaxed);
                self.host.log(Level::Warning, "the script has written all that it may to the log (logBytes)");
            }
        }
    }
}
