//! What went out of records, for the rejects desk.

use arrow::array::{ArrayRef, RecordBatch};
use engine::expr::Value;
use serde_json::{Map, Value as Json};

/// What went out of each record of a batch, by field.
pub(crate) struct Sent(Vec<Map<String, Json>>);

impl Sent {
    /// Nothing yet of any of them.
    pub(crate) fn of(batch: &RecordBatch) -> Self {
        Self(vec![Map::new(); batch.num_rows()])
    }

    /// Adds a field: its values as they were computed and as the field holds them. The `lost` rows, in their order, are
    /// those whose value the field cannot hold; what was computed is told of them.
    pub(crate) fn add(&mut self, field: &str, computed: &ArrayRef, held: &ArrayRef, lost: &[usize]) {
        for (row, record) in self.0.iter_mut().enumerate() {
            let values = if lost.binary_search(&row).is_ok() { computed } else { held };
            record.insert(field.to_owned(), Value::json_at(values, row));
        }
    }

    /// What went out of each record, in their order.
    pub(crate) fn records(self) -> Vec<Map<String, Json>> {
        self.0
    }
}
