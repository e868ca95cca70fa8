//! The small marketing database that a new file becomes.

use rusqlite::{Connection, TransactionBehavior};

/// From the public-domain list of the tz database, with the short names of ISO 3166 where it has its own.
const COUNTRIES: &str = include_str!("countries.tsv");

const NOW: &str = "strftime('%Y-%m-%d %H:%M:%f000Z', 'now')";

pub(super) fn fill_if_empty(connection: &mut Connection) -> rusqlite::Result<()> {
    if has_tables(connection)? {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    if has_tables(&transaction)? {
        return Ok(());
    }
    transaction.execute_batch(&format!(
        "CREATE TABLE country(iso TEXT PRIMARY KEY, label TEXT NOT NULL) STRICT, WITHOUT ROWID;
         CREATE TABLE recipient(
             id INTEGER PRIMARY KEY,
             crm_id TEXT,
             email TEXT,
             first_name TEXT,
             last_name TEXT,
             phone TEXT,
             city TEXT,
             country TEXT,
             country_label TEXT,
             birth_date DATE,
             job_title TEXT,
             company TEXT,
             created_at TIMESTAMP DEFAULT ({NOW}),
             updated_at TIMESTAMP DEFAULT ({NOW})
         );
         CREATE INDEX recipient_crm_id ON recipient(crm_id);
         CREATE INDEX recipient_email ON recipient(email);
         CREATE TRIGGER recipient_updated_at AFTER UPDATE ON recipient WHEN NEW.updated_at IS OLD.updated_at BEGIN
             UPDATE recipient SET updated_at = {NOW} WHERE id = NEW.id;
         END;"
    ))?;
    {
        let mut insert = transaction.prepare("INSERT INTO country(iso, label) VALUES (?1, ?2)")?;
        for (iso, label) in COUNTRIES.lines().filter_map(|line| line.split_once('\t')) {
            insert.execute((iso, label))?;
        }
    }
    transaction.commit()
}

fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
}
