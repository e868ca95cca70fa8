//! The marketing database, behind the engine's [`Database`](engine::outside::database::Database).
//!
//! [`Sqlite`] works with any table of an SQLite file, whatever its columns are declared as.
//!
//! # How values are written
//!
//! | Value | Written as | Read back as the same from a column declared |
//! | --- | --- | --- |
//! | true, false | `1`, `0` | `BOOLEAN` |
//! | whole number | an integer | `INTEGER`, or any name with `INT` |
//! | number | a real | `REAL`, `DOUBLE`, `FLOAT` |
//! | decimal, money | exact text without needless zeros: `12.5` | `DECIMAL_TEXT(p, s)`: all digits; `DECIMAL(p, s)`, `NUMERIC(p, s)`, `MONEY`: up to 15 digits |
//! | text, GUID, id | text | `TEXT`, `VARCHAR(n)`, or nothing |
//! | date | `2026-01-31` | `DATE` |
//! | date-time | `2026-01-31 13:05:00.000000Z`, always UTC and always six digits, so that the order of the text is the order in time | `TIMESTAMP`, `DATETIME`, `TIMESTAMPTZ` |
//! | date-time without zone | `2026-01-31 13:05:00.000000` | `TIMESTAMP WITHOUT TIME ZONE`, `LOCAL DATETIME` |
//! | time | `13:05:00.000000` | `TIME` |
//! | list | a JSON array: `["a","b"]` | `LIST` (of text), `INTEGER LIST` and so on |
//!
//! SQLite itself turns what is written to a column declared `DECIMAL` or `NUMERIC` into a binary number. Where that would
//! change the value (more than 15 digits), the row is refused with `DECIMAL_INEXACT` rather than rounded. Precision and
//! scale are 19 and 4 where they are not declared. SQLite's own functions (`date()`, `strftime()`) read all of these.
//!
//! Reading is more lenient: `2026-01-31T13:05:00+01:00` and `2026-01-31` are instants too. One that does not say its zone is
//! what clocks show in the zone of whoever reads, as everywhere in a workflow. What cannot be read as the declared type is a
//! failure, never null.
//!
//! # Codes of rejects
//!
//! Besides SQLite's own (`SQLITE_CONSTRAINT_UNIQUE` and so on): `KEY_EMPTY`, `KEY_AMBIGUOUS`, `TRIGGER_IGNORED` (a trigger
//! dropped the row), `VALUE_RANGE` (a year before 0 or after 9999, not a number), and of values that SQLite would change in
//! their column: `TEXT_AS_NUMBER`, `NUMBER_INEXACT`, `DECIMAL_INEXACT`.

mod sqlite;

pub use sqlite::{Contents, Sqlite};
