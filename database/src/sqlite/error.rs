//! What SQLite says, in our words.

use engine::failure::{Class, Failure};
use engine::outside::database::Refused;
use rusqlite::{Error, ErrorCode, ffi};

/// The whole of what was asked failed.
pub(super) fn failed(action: &str, error: Error) -> Failure {
    let (class, help) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (Class::Transient, Some("another program holds this database; end what it does there, then resume"))
        }
        Some(ErrorCode::DiskFull) => (Class::Storage, Some("make room on this disk, then resume the run")),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            (Class::Storage, Some("this user must be able to write the file and its folder"))
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            (Class::Storage, Some("put the file back from a backup; SQLite cannot read it"))
        }
        Some(ErrorCode::ConstraintViolation) => {
            (Class::Data, Some("a rule that the database checks only at the end of a transaction is broken"))
        }
        Some(ErrorCode::Unknown | ErrorCode::SchemaChanged) => (Class::Config, None),
        _ if matches!(error, Error::SqlInputError { .. }) => (Class::Config, None),
        _ => (Class::Storage, None),
    };
    let failure = Failure::new(class, format!("{action}: {}", words(&error)));
    let failure = match help {
        Some(help) => failure.help(help),
        None => failure,
    };
    match error.sqlite_error() {
        Some(error) => failure.code(code_name(error.extended_code)),
        None => failure,
    }
}

/// Whether the error concerns one row only.
pub(super) fn refused(row: u32, error: &Error) -> Option<Refused> {
    let sqlite = error.sqlite_error()?;
    let of_a_row = matches!(
        sqlite.code,
        ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig | ErrorCode::Unknown
    );
    of_a_row.then(|| {
        let message = words(error);
        Refused { row, code: code_name(sqlite.extended_code), column: column_in(&message), message }
    })
}

/// Without the statement, which is ours and long.
fn words(error: &Error) -> String {
    match error {
        Error::SqliteFailure(_, Some(message)) => message.clone(),
        Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

fn code_name(extended: i32) -> String {
    let name = match extended {
        ffi::SQLITE_CONSTRAINT_CHECK => "SQLITE_CONSTRAINT_CHECK",
        ffi::SQLITE_CONSTRAINT_DATATYPE => "SQLITE_CONSTRAINT_DATATYPE",
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => "SQLITE_CONSTRAINT_FOREIGNKEY",
        ffi::SQLITE_CONSTRAINT_NOTNULL => "SQLITE_CONSTRAINT_NOTNULL",
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY => "SQLITE_CONSTRAINT_PRIMARYKEY",
        ffi::SQLITE_CONSTRAINT_ROWID => "SQLITE_CONSTRAINT_ROWID",
        ffi::SQLITE_CONSTRAINT_TRIGGER => "SQLITE_CONSTRAINT_TRIGGER",
        ffi::SQLITE_CONSTRAINT_UNIQUE => "SQLITE_CONSTRAINT_UNIQUE",
        ffi::SQLITE_CONSTRAINT_VTAB => "SQLITE_CONSTRAINT_VTAB",
        _ => match extended & 0xff {
            ffi::SQLITE_ERROR => "SQLITE_ERROR",
            ffi::SQLITE_BUSY => "SQLITE_BUSY",
            ffi::SQLITE_LOCKED => "SQLITE_LOCKED",
            ffi::SQLITE_READONLY => "SQLITE_READONLY",
            ffi::SQLITE_IOERR => "SQLITE_IOERR",
            ffi::SQLITE_CORRUPT => "SQLITE_CORRUPT",
            ffi::SQLITE_FULL => "SQLITE_FULL",
            ffi::SQLITE_CANTOPEN => "SQLITE_CANTOPEN",
            ffi::SQLITE_TOOBIG => "SQLITE_TOOBIG",
            ffi::SQLITE_CONSTRAINT => "SQLITE_CONSTRAINT",
            ffi::SQLITE_MISMATCH => "SQLITE_MISMATCH",
            ffi::SQLITE_NOTADB => "SQLITE_NOTADB",
            _ => return format!("SQLITE_{extended}"),
        },
    };
    name.to_owned()
}

/// `UNIQUE constraint failed: recipient.email` names one; a set of columns names none.
fn column_in(message: &str) -> Option<String> {
    let place = match message.split_once(" constraint failed: ") {
        Some((kind, place)) if kind != "CHECK" => place,
        _ => message.strip_prefix("cannot store ")?.rsplit_once(" column ")?.1,
    };
    let (_, column) = place.split_once('.')?;
    (!column.contains(", ")).then(|| column.to_owned())
}
