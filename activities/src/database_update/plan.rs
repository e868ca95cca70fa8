//! What is written, and the writing of one batch.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use engine::context::Cx;
use engine::expr::{Bound, Values};
use engine::failure::{Class, Failure};
use engine::outside::database::{Collation, LedgerKey, Older, Operation, Refused, Write};
use engine::population::Population;
use engine::reject::Reject;
use engine::version::Versions;
use serde_json::{Map, Value as Json};

use super::{DatabaseUpdate, EmptySource};
use crate::convert::{self, convert};
use crate::older::OlderVersions;
use crate::pinned::Pinned;
use crate::rows;
use crate::sent::Sent;
use crate::sets::{self, Empty, Firsts, Mark, REPEATED_MAX, Ranked};

/// What became of the records of a batch.
pub(super) struct Done {
    /// Why each was refused, where it was.
    pub(super) rejects: Vec<Option<Reject>>,
    /// Whether each was dropped, since a newer version of it is written.
    pub(super) older: Vec<bool>,
    pub(super) counts: BTreeMap<String, u64>,
}

/// What is written.
#[derive(Clone)]
pub(super) struct Plan {
    write: Write,
    columns: Vec<Column>,
    values: Values,
    pub(super) pinned: Pinned,
}

/// A column of the table that is written.
#[derive(Clone)]
struct Column {
    name: String,
    to: DataType,
    bound: Bound,
    /// How it is compared where it is part of the key.
    key: Option<Collation>,
}

impl Plan {
    pub(super) async fn new(
        update: &DatabaseUpdate,
        cx: &Cx,
        records: &SchemaRef,
        pinned: Option<&Pinned>,
    ) -> Result<Self, Failure> {
        let table = cx.database().table(&update.table).await?;
        let key = if update.operation == Operation::Insert { Vec::new() } else { update.key.clone() };
        let compared = table.collations.of(&key);
        let mut columns = Vec::new();
        for (name, source) in &update.set {
            let (_, field) = table.columns.column_with_name(name).ok_or_else(|| {
                Failure::new(Class::Config, format!("table {} has no column \"{name}\"", table.name))
                    .help("correct the workflow, or put the column back")
            })?;
            let bound = cx.bind(source, records)?;
            let key = key.iter().position(|column| column == name).map(|place| compared[place]);
            columns.push(Column { name: name.clone(), to: field.data_type().clone(), bound, key });
        }
        let bounds: Vec<&Bound> = columns.iter().map(|column| &column.bound).collect();
        let (values, pinned) = Pinned::values(cx, &bounds, pinned).await?;
        // What is known of variables now decides the type.
        for column in &mut columns {
            column.bound = column.bound.resolve(&values)?;
        }
        let write = Write {
            table: update.table.clone(),
            operation: update.operation,
            key,
            null_empties: update.empty_source == EmptySource::Empties,
            older: Older::Write,
        };
        Ok(Self { write, columns, values, pinned })
    }

    /// Has the versions of source records compared, and remembered for as long as another run may need them.
    pub(super) async fn compare_versions(&mut self, cx: &Cx, older: OlderVersions) -> Result<(), Failure> {
        if older == OlderVersions::Drop {
            self.write.older = Older::LeaveOut { until: cx.remembers_until().await? };
        }
        Ok(())
    }

    pub(super) fn is_keyed(&self) -> bool {
        !self.write.key.is_empty()
    }

    /// Where it is kept which record is the first of each key.
    pub(super) fn firsts_file(cx: &Cx) -> Result<PathBuf, Failure> {
        Ok(cx.own_folder()?.join("firsts.places"))
    }

    /// The first record of each key.
    pub(super) async fn firsts(&self, cx: &Cx, population: &Population) -> Result<Firsts, Failure> {
        let plan = self.clone();
        let ranking = move |batch: &RecordBatch, _: u64| Ok(Ranked { keys: plan.keys(batch)?, ranks: Vec::new() });
        let memory = cx.limits().set_memory_mib.max(1) * 1024 * 1024;
        let spill = cx.own_folder()?.join("spill");
        sets::firsts(population, Arc::new(ranking), REPEATED_MAX, memory, &spill).await
    }

    /// The key of each record, or none where it is empty or cannot be computed.
    fn keys(&self, batch: &RecordBatch) -> Result<Vec<Option<sets::Key>>, Failure> {
        let columns = self.columns.iter().filter_map(|column| Some((column, column.key?)));
        let columns = columns.map(|(column, key)| Ok(sets::folded(&self.compute(column, batch)?.0, key)));
        sets::keys(&columns.collect::<Result<Vec<_>, Failure>>()?, Empty::Alone)
    }

    /// A column's values, and the records for which it has none that can be written.
    fn compute(&self, column: &Column, batch: &RecordBatch) -> Result<(ArrayRef, Vec<(usize, Reject)>), Failure> {
        let (array, failing) = rows::eval(&column.bound, batch, &self.values)?;
        let mut rejects: Vec<(usize, Reject)> =
            failing.into_iter().map(|(row, error)| (row, rows::failed(&column.name, error))).collect();
        let (converted, lost) = convert(&array, &column.to)?;
        rejects.extend(lost.into_iter().map(|row| {
            let value = engine::expr::Value::at(&array, row);
            let message = format!("\"{value}\" cannot be written as {}", convert::named(&column.to));
            let help = "correct the value, or what is computed of it";
            (row, Reject::new("VALUE_TYPE", message).field(&column.name).help(help))
        }));
        Ok((converted, rejects))
    }

    /// What is written of each record, by column.
    pub(super) fn sent(&self, batch: &RecordBatch) -> Result<Vec<Map<String, Json>>, Failure> {
        let mut sent = Sent::of(batch);
        for Column { name, to, bound, .. } in &self.columns {
            let (array, _) = rows::eval(bound, batch, &self.values)?;
            let (converted, lost) = convert(&array, to)?;
            sent.add(name, &array, &converted, &lost);
        }
        Ok(sent.records())
    }

    /// Writes a batch: its number is `number`, the place of its first record `place`.
    pub(super) async fn write(
        &self,
        cx: &Cx,
        batch: &RecordBatch,
        place: u64,
        number: u64,
        firsts: Option<&Firsts>,
    ) -> Result<Done, Failure> {
        let mut rejects: Vec<Option<Reject>> = vec![None; batch.num_rows()];
        let mut arrays = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let (array, refused) = self.compute(column, batch)?;
            for (row, reject) in refused {
                rejects[row].get_or_insert(reject);
            }
            arrays.push((column.name.clone(), array, true));
        }
        if let Some(firsts) = firsts {
            self.refuse_keys(batch, place, firsts, &arrays, &mut rejects)?;
        }
        let sound: Vec<bool> = rejects.iter().map(Option::is_none).collect();
        let mut rows = RecordBatch::try_from_iter_with_nullable(arrays).map_err(rows::wrong)?;
        if let Some(versions) = Versions::of(batch).filter(|_| self.write.older != Older::Write) {
            rows = versions.attach(&rows).map_err(rows::wrong)?;
        }
        let rows = rows::filter(&rows, &sound)?;
        let (mut counts, mut older) = (BTreeMap::new(), vec![false; batch.num_rows()]);
        if rows.num_rows() > 0 {
            let ledger = LedgerKey { folder: cx.folder_id(), task: cx.ledger_key(), batch: number };
            let written = cx.database().write(&ledger, &self.write, rows).await?;
            let places: Vec<usize> = (0..sound.len()).filter(|row| sound[*row]).collect();
            let place = |row: u32| {
                let place = usize::try_from(row).ok().and_then(|row| places.get(row).copied());
                place.ok_or_else(|| Failure::internal("the database answered for a row that it was not given"))
            };
            for refused in written.rejects {
                let row = place(refused.row)?;
                rejects[row] = Some(of_database(refused));
            }
            for row in written.older {
                older[place(row)?] = true;
            }
            counts = written.counts;
        }
        Ok(Done { rejects, older, counts })
    }

    /// Refuses records without a key, and those whose key an earlier record has.
    fn refuse_keys(
        &self,
        batch: &RecordBatch,
        place: u64,
        firsts: &Firsts,
        arrays: &[(String, ArrayRef, bool)],
        rejects: &mut [Option<Reject>],
    ) -> Result<(), Failure> {
        let names = self.write.key.join(", ");
        let mut keys = None;
        for (row, (place, reject)) in (place..).zip(rejects).enumerate() {
            if reject.is_some() {
                continue;
            }
            match firsts.places.get(place) {
                Mark::First => {}
                Mark::Alone => {
                    let is_empty = |name: &&String| {
                        arrays.iter().any(|(column, array, _)| column == *name && sets::is_empty(array, row))
                    };
                    let field = self.write.key.iter().find(is_empty).unwrap_or(&names);
                    *reject = Some(
                        Reject::new("KEY_EMPTY", format!("the key \"{field}\" is empty"))
                            .field(field)
                            .help("fill it in where the record comes from, or leave such records out beforehand"),
                    );
                }
                Mark::Other => {
                    if keys.is_none() {
                        keys = Some(self.keys(batch)?);
                    }
                    let key = keys.as_ref().and_then(|keys| *keys.get(row)?);
                    let message = match key.and_then(|key| firsts.repeated.get(&key)) {
                        Some(first) => format!("record {} has the same {names}; only the first is written", first + 1),
                        None => format!("an earlier record has the same {names}; only the first is written"),
                    };
                    *reject = Some(
                        Reject::new("KEY_REPEATED", message)
                            .field(&names)
                            .help("put a deduplication before, which chooses the record that is written"),
                    );
                }
            }
        }
        Ok(())
    }
}

fn of_database(refused: Refused) -> Reject {
    let help = "correct the record where it comes from, or what the table allows".to_owned();
    Reject {
        symbol: refused.code.clone(),
        code: refused.code,
        message: refused.message,
        field: refused.column,
        help: Some(help),
    }
}
