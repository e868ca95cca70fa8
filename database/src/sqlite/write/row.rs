//! One row of a batch after the other, by statements that are prepared once.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use engine::failure::{Class, Failure};
use engine::outside::database::{Operation, Refused, Write};
use rusqlite::{CachedStatement, Connection};

use crate::sqlite::cell::{Cell, Values};
use crate::sqlite::describe::{Column, Described};
use crate::sqlite::error::{failed, refused};
use crate::sqlite::find::{Access, Finders, equal};
use crate::sqlite::sql::{each, main_table, names, quoted, values};

/// What became of a row.
pub(super) enum Outcome {
    /// By this name.
    Counted(&'static str),
    Refused(Refused),
}

pub(super) struct Rows<'a> {
    connection: &'a Connection,
    described: &'a Described,
    operation: Operation,
    null_empties: bool,
    columns: Vec<(&'a Column, Values<'a>)>,
    /// Places of the key among the columns.
    key: Vec<usize>,
    access: Access,
    search: Option<Search<'a>>,
    /// By the columns left out, which take their default.
    inserts: HashMap<Vec<usize>, Statement<'a>>,
    /// A trigger may leave half of its work behind when it fails.
    careful: bool,
}

struct Search<'a> {
    /// By the key alone, since most rows of an import are new: their values are bound once, when they are inserted.
    find: Statement<'a>,
    count: Statement<'a>,
    /// Whether the row that was found has all values already; `None` if the key is all there is.
    same: Option<Statement<'a>>,
    /// `None` where the key is all there is.
    update: Option<Statement<'a>>,
    /// Adds a new row to the temporary index.
    remember: Option<CachedStatement<'a>>,
    /// Deletes a row, and takes it out of the temporary index.
    delete: Option<(Statement<'a>, Option<Statement<'a>>)>,
}

struct Statement<'a> {
    prepared: CachedStatement<'a>,
    /// The columns bound, in the order of the parameters.
    places: Vec<usize>,
}

impl<'a> Statement<'a> {
    fn new(connection: &'a Connection, sql: &str, places: Vec<usize>) -> rusqlite::Result<Self> {
        Ok(Self { prepared: connection.prepare_cached(sql)?, places })
    }

    fn bind(&mut self, cells: &[Cell<'_>]) -> rusqlite::Result<()> {
        for (number, place) in self.places.iter().enumerate() {
            self.prepared.raw_bind_parameter(number + 1, &cells[*place])?;
        }
        Ok(())
    }

    /// With the number of a row that was found, if the table has such numbers.
    fn bind_row(&mut self, cells: &[Cell<'_>], rowid: Option<i64>) -> rusqlite::Result<()> {
        self.bind(cells)?;
        match rowid {
            Some(rowid) => self.prepared.raw_bind_parameter(self.places.len() + 1, rowid),
            None => Ok(()),
        }
    }
}

impl Search<'_> {
    fn is_same(&mut self, cells: &[Cell<'_>], rowid: Option<i64>) -> rusqlite::Result<bool> {
        let Some(same) = &mut self.same else { return Ok(true) };
        same.bind_row(cells, rowid)?;
        same.prepared.raw_query().next()?.map_or(Ok(false), |row| row.get(0))
    }
}

impl<'a> Rows<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        finders: &mut Finders,
        described: &'a Described,
        write: &Write,
        rows: &'a RecordBatch,
    ) -> Result<Self, Failure> {
        let mut columns: Vec<(&Column, Values<'_>)> = Vec::new();
        for (field, array) in rows.schema_ref().fields().iter().zip(rows.columns()) {
            let column = described.column(field.name())?;
            if columns.iter().any(|(known, _)| known.name == column.name) {
                let message = format!("column {} of table {} is written twice", column.name, described.table.name);
                return Err(Failure::new(Class::Config, message));
            }
            columns.push((column, Values::new(&column.name, array, column.affinity)?));
        }
        let mut key = Vec::new();
        for name in &write.key {
            let column = described.column(name)?;
            let place = columns.iter().position(|(known, _)| known.name == column.name);
            key.push(place.ok_or_else(|| {
                Failure::new(Class::Config, format!("the key column {name} is not among the columns that are written"))
            })?);
        }
        if columns.is_empty() || (key.is_empty() && write.operation != Operation::Insert) {
            let what = if columns.is_empty() { "no column is given" } else { "no key is given" };
            return Err(Failure::new(Class::Config, format!("table {}: {what}", described.table.name)));
        }
        let mut rows = Self {
            connection,
            described,
            operation: write.operation,
            null_empties: write.null_empties,
            columns,
            key,
            access: Access::Table,
            search: None,
            inserts: HashMap::new(),
            careful: false,
        };
        let cannot = |e| failed(&format!("cannot write to table {}", described.table.name), e);
        rows.careful = has_failing_trigger(connection).map_err(cannot)?;
        if write.operation != Operation::Insert {
            rows.access = rows.find_access(finders)?;
            rows.search = Some(rows.search_by().map_err(cannot)?);
        }
        Ok(rows)
    }

    /// The temporary index that knows of the rows written.
    pub(super) fn maintained(&self) -> Option<String> {
        match &self.access {
            Access::Temporary(name) => Some(name.clone()),
            Access::Table => None,
        }
    }

    /// Writes one row; an error is one of the whole batch.
    pub(super) fn write(&mut self, row: usize, number: u32) -> Result<Outcome, Failure> {
        let mut cells = Vec::with_capacity(self.columns.len());
        for (column, values) in &self.columns {
            match values.cell(row) {
                Ok(cell) => cells.push(cell),
                Err(unwritable) => return Ok(Outcome::Refused(unwritable.refused(number, &column.name))),
            }
        }
        let cannot = |e| failed(&format!("cannot write to table {}", self.described.table.name), e);
        if self.careful {
            self.connection.execute_batch("SAVEPOINT campanile_row").map_err(cannot)?;
        }
        let done = self.write_cells(&cells, number);
        let done = match done {
            Err(e) => refused(number, &e).map(Outcome::Refused).ok_or_else(|| cannot(e)),
            Ok(outcome) => Ok(outcome),
        };
        if self.careful && !self.connection.is_autocommit() {
            let undo = if matches!(done, Ok(Outcome::Counted(_))) { "" } else { "ROLLBACK TO campanile_row;" };
            let end = format!("{undo} RELEASE campanile_row");
            self.connection.execute_batch(&end).map_err(|e| failed("cannot end a row", e))?;
        }
        done
    }

    fn write_cells(&mut self, cells: &[Cell<'_>], number: u32) -> rusqlite::Result<Outcome> {
        let Some(search) = &mut self.search else { return self.insert(cells, number) };
        if let Some(place) = self.key.iter().find(|place| cells[**place] == Cell::Null) {
            let column = &self.columns[*place].0.name;
            let message = format!("the key column {column} is empty");
            return Ok(reject(number, "KEY_EMPTY", message, Some(column)));
        }
        search.find.bind(cells)?;
        let (found, rowid) = {
            let mut rows = search.find.prepared.raw_query();
            let mut found = (0, None);
            while let Some(row) = rows.next()? {
                found = (found.0 + 1, row.get::<_, Option<i64>>(0)?);
            }
            found
        };
        match (found, self.operation) {
            (0, Operation::Upsert) => self.insert(cells, number),
            (0, _) => Ok(Outcome::Counted("absent")),
            (1, Operation::Delete) => self.delete(cells, rowid, number),
            (1, _) if search.is_same(cells, rowid)? => Ok(Outcome::Counted("unchanged")),
            (1, _) => self.update(cells, rowid, number),
            _ => {
                search.count.bind(cells)?;
                let count: i64 = search.count.prepared.raw_query().next()?.map_or(Ok(0), |row| row.get(0))?;
                let key = names(self.key.iter().map(|place| self.columns[*place].0.name.as_str()));
                let message = format!("{count} rows of table {} have this key ({key})", self.described.table.name);
                Ok(reject(number, "KEY_AMBIGUOUS", message, None))
            }
        }
    }

    fn update(&mut self, cells: &[Cell<'_>], rowid: Option<i64>, number: u32) -> rusqlite::Result<Outcome> {
        let Some(update) = self.search.as_mut().and_then(|search| search.update.as_mut()) else {
            return Ok(Outcome::Counted("unchanged"));
        };
        update.bind_row(cells, rowid)?;
        let changed = update.prepared.raw_execute()?;
        Ok(if changed == 0 { self.ignored(number) } else { Outcome::Counted("updated") })
    }

    fn delete(&mut self, cells: &[Cell<'_>], rowid: Option<i64>, number: u32) -> rusqlite::Result<Outcome> {
        let Some((delete, forget)) = self.search.as_mut().and_then(|search| search.delete.as_mut()) else {
            return Ok(self.ignored(number));
        };
        for statement in std::iter::once(&mut *delete).chain(forget.as_mut()) {
            statement.bind_row(cells, rowid)?;
        }
        if delete.prepared.raw_execute()? == 0 {
            return Ok(self.ignored(number));
        }
        if let Some(forget) = forget {
            forget.prepared.raw_execute()?;
        }
        Ok(Outcome::Counted("deleted"))
    }

    fn insert(&mut self, cells: &[Cell<'_>], number: u32) -> rusqlite::Result<Outcome> {
        let takes_default =
            |place: &usize| !self.null_empties && cells[*place] == Cell::Null && self.columns[*place].0.has_default;
        let left_out: Vec<usize> = (0..cells.len()).filter(takes_default).collect();
        if !self.inserts.contains_key(&left_out) {
            let insert = self.insert_without(&left_out)?;
            self.inserts.insert(left_out.clone(), insert);
        }
        let Some(insert) = self.inserts.get_mut(&left_out) else { return Ok(self.ignored(number)) };
        insert.bind(cells)?;
        if insert.prepared.raw_execute()? == 0 {
            return Ok(self.ignored(number));
        }
        if let Some(remember) = self.search.as_mut().and_then(|search| search.remember.as_mut()) {
            remember.execute([self.connection.last_insert_rowid()])?;
        }
        Ok(Outcome::Counted("inserted"))
    }

    fn ignored(&self, number: u32) -> Outcome {
        let message = format!("a trigger of table {} dropped the row", self.described.table.name);
        reject(number, "TRIGGER_IGNORED", message, None)
    }

    fn find_access(&self, finders: &mut Finders) -> Result<Access, Failure> {
        let is_key = |place: &usize| self.key.contains(place);
        let moves_rowid = (0..self.columns.len())
            .filter(|place| !is_key(place))
            .any(|place| self.described.table.primary_key.contains(&self.columns[place].0.name));
        // A temporary index would not know where a row went whose number changed.
        match moves_rowid {
            true => Ok(Access::Table),
            false => finders.access(self.connection, self.described, &self.key_names()),
        }
    }

    fn key_names(&self) -> Vec<String> {
        self.key.iter().map(|place| self.columns[*place].0.name.clone()).collect()
    }

    fn search_by(&self) -> rusqlite::Result<Search<'a>> {
        let (described, access, keys) = (self.described, &self.access, self.key_names());
        let table = main_table(&described.table.name);
        let rest: Vec<usize> = (0..self.columns.len()).filter(|place| !self.key.contains(place)).collect();
        let name = |place: usize| quoted(&self.columns[place].0.name);
        let numbered = || rest.iter().enumerate().map(|(n, place)| (n + 1, *place));

        let rowid = described.rowid.map_or_else(|| "NULL".to_owned(), |rowid| format!("t.{rowid}"));
        let matching = access.rows(described, &keys, 1);
        let find = Statement::new(self.connection, &format!("SELECT {rowid} {matching} LIMIT 2"), self.key.clone())?;
        let count = Statement::new(self.connection, &format!("SELECT count(*) {matching}"), self.key.clone())?;

        // The row that was found, by its number or by its key, whose parameters follow those of the values.
        let (which, places) = match described.rowid {
            Some(rowid) => (format!("{rowid} = ?{}", rest.len() + 1), rest.clone()),
            None => (equal(described, "", &keys, rest.len() + 1), [rest.clone(), self.key.clone()].concat()),
        };
        let same = |(n, place): (usize, usize)| match self.null_empties {
            true => format!("{} IS ?{n} COLLATE BINARY", name(place)),
            false => format!("(?{n} IS NULL OR {} IS ?{n} COLLATE BINARY)", name(place)),
        };
        let set = |(n, place): (usize, usize)| match self.null_empties {
            true => format!("{} = ?{n}", name(place)),
            false => format!("{} = coalesce(?{n}, {})", name(place), name(place)),
        };
        let (mut compare, mut update) = (None, None);
        if !rest.is_empty() && self.operation != Operation::Delete {
            let sql = format!("SELECT {} FROM {table} WHERE {which}", each(numbered(), " AND ", same));
            compare = Some(Statement::new(self.connection, &sql, places.clone())?);
            // OR ABORT overrules ON CONFLICT in the table, which might replace other rows.
            let sql = format!("UPDATE OR ABORT {table} SET {} WHERE {which}", each(numbered(), ", ", set));
            update = Some(Statement::new(self.connection, &sql, places)?);
        }
        let remember = self.remember(&keys)?;
        let delete = if self.operation == Operation::Delete { Some(self.delete_by(&keys)?) } else { None };
        Ok(Search { find, count, same: compare, update, remember, delete })
    }

    fn delete_by(&self, keys: &[String]) -> rusqlite::Result<(Statement<'a>, Option<Statement<'a>>)> {
        let table = main_table(&self.described.table.name);
        let delete = match self.described.rowid {
            Some(rowid) => {
                Statement::new(self.connection, &format!("DELETE FROM {table} WHERE {rowid} = ?1"), Vec::new())?
            }
            None => {
                let which = equal(self.described, "", keys, 1);
                Statement::new(self.connection, &format!("DELETE FROM {table} WHERE {which}"), self.key.clone())?
            }
        };
        let forget = match &self.access {
            Access::Table => None,
            // A row made later may get the number of the one that is gone.
            Access::Temporary(temp) => {
                let which = each(0..keys.len(), " AND ", |n| format!("k{n} = ?{}", n + 1));
                let sql = format!("DELETE FROM temp.{} WHERE {which} AND row = ?{}", quoted(temp), keys.len() + 1);
                Some(Statement::new(self.connection, &sql, self.key.clone())?)
            }
        };
        Ok((delete, forget))
    }

    fn remember(&self, keys: &[String]) -> rusqlite::Result<Option<CachedStatement<'a>>> {
        let (Access::Temporary(temp), Some(rowid)) = (&self.access, self.described.rowid) else { return Ok(None) };
        let places = each(0..keys.len(), ", ", |n| format!("k{n}"));
        let sql = format!(
            "INSERT INTO temp.{}({places}, row) SELECT {}, {rowid} FROM {} WHERE {rowid} = ?1",
            quoted(temp),
            names(keys.iter().map(String::as_str)),
            main_table(&self.described.table.name)
        );
        self.connection.prepare_cached(&sql).map(Some)
    }

    fn insert_without(&self, left_out: &[usize]) -> rusqlite::Result<Statement<'a>> {
        let table = main_table(&self.described.table.name);
        let places: Vec<usize> = (0..self.columns.len()).filter(|place| !left_out.contains(place)).collect();
        let sql = if places.is_empty() {
            format!("INSERT OR ABORT INTO {table} DEFAULT VALUES")
        } else {
            let columns = names(places.iter().map(|place| self.columns[*place].0.name.as_str()));
            format!("INSERT OR ABORT INTO {table}({columns}) VALUES {}", values(places.len()))
        };
        Statement::new(self.connection, &sql, places)
    }
}

fn reject(row: u32, code: &str, message: String, column: Option<&str>) -> Outcome {
    Outcome::Refused(Refused { row, code: code.to_owned(), message, column: column.map(str::to_owned) })
}

/// `RAISE(FAIL)` leaves what the trigger did before it.
fn has_failing_trigger(connection: &Connection) -> rusqlite::Result<bool> {
    let mut query = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND lower(sql) LIKE '%fail%')",
    )?;
    query.query_row([], |row| row.get(0))
}
