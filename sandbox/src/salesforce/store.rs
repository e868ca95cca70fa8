//! What is the product's own about its records: ids made of numbers, a recycle bin for all, and merges.

use super::{
    generate::{Generator, Sizes},
    id::Id,
    objects,
    table::{Record, Table, key, number_of},
    value::Value,
};
use crate::data::{self, By, Draft, Held};

/// The tables of an organisation.
pub(crate) type Store = data::Store<Table>;

/// The times of a change.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stamp {
    /// Of the record's creation, if not that of the change.
    pub(super) created: Option<i64>,
    /// Of the change, if not now.
    pub(super) modified: Option<i64>,
    /// Nobody sees it before: a transaction that commits late.
    pub(super) visible_from: Option<i64>,
}

/// Who changes something, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Author {
    /// Now.
    pub(super) now: i64,
    /// Who.
    pub(super) by: By,
}

/// The tables of a new organisation.
pub(super) fn new(sizes: &Sizes, bin_days: u32) -> Store {
    let table = |object: super::schema::Object| {
        let generator = Generator::new(object.name, sizes);
        Table::new(object, generator)
    };
    let mut store = Store::new(objects::objects().into_iter().map(table).collect());
    store.retention.bin_days = Some(bin_days);
    store
}

impl Store {
    /// The index of a table by its object's name in any case.
    pub(super) fn index(&self, name: &str) -> Option<usize> {
        self.tables.iter().position(|table| table.object.name.eq_ignore_ascii_case(name))
    }

    /// The table whose records have this id's prefix.
    pub(super) fn table_of(&self, id: Id) -> Option<&Table> {
        self.tables.iter().find(|table| table.object.prefix == id.prefix())
    }

    /// The name of the object of the record that a reference leads to.
    pub(super) fn leads_to(&self, table: &Table, record: Record<'_>, reference: usize) -> Option<&'static str> {
        let id = Id::parse(table.value(record, reference).as_text()?)?;
        Some(self.table_of(id)?.object.name)
    }

    /// Creates a record and returns its number.
    pub(super) fn create(&mut self, table: usize, values: Vec<(usize, Value)>, stamp: Stamp, author: Author) -> u32 {
        let number = self.tables[table].next();
        self.save(table, number, values, stamp, author);
        number
    }

    /// Changes a record that is there, or creates it with this number.
    pub(super) fn save(
        &mut self,
        table: usize,
        number: u32,
        values: Vec<(usize, Value)>,
        stamp: Stamp,
        author: Author,
    ) {
        let Stamp { created: created_on, modified: modified_on, visible_from } = stamp;
        let values = values.into_iter().collect();
        self.save_draft(Draft { table, id: key(number), values, created_on, modified_on, visible_from }, author);
    }

    /// The same of a draft. A record in the bin stays there.
    pub(super) fn save_draft(&mut self, draft: Draft, author: Author) {
        let table = &mut self.tables[draft.table];
        table.take(number_of(draft.id));
        if Held::records(table).binned(draft.id).is_none() {
            return self.write(draft, author.now, author.by);
        }
        table.parts().1.change_binned(draft.id, |row| {
            row.values.extend(draft.values);
            (row.modified_on, row.by) = (draft.modified_on.unwrap_or(author.now), author.by);
        });
    }

    /// Moves a live record to the bin, which changes it. False if it is not live.
    pub(super) fn discard(&mut self, table: usize, number: u32, author: Author) -> bool {
        let is_done = self.delete(table, key(number), author.now, author.by);
        self.tables[table].parts().1.change_binned(key(number), |row| {
            if is_done {
                (row.modified_on, row.by) = (author.now, author.by);
            }
        });
        is_done
    }

    /// Moves a live record to the bin with another as its master. False if it is not live.
    pub(super) fn delete_merged(&mut self, table: usize, number: u32, master: u32, author: Author) -> bool {
        let is_done = self.discard(table, number, author);
        if is_done {
            self.tables[table].parts().1.change_binned(key(number), |row| row.master = Some(key(master)));
        }
        is_done
    }

    /// Deletes a record for good, live or in the bin: it leaves no more than its entry in the delete log. False if it is
    /// neither.
    pub(super) fn erase(&mut self, table: usize, number: u32, author: Author) -> bool {
        let is_deleted = self.delete(table, key(number), author.now, author.by);
        self.tables[table].parts().1.purge(key(number)) || is_deleted
    }

    /// Takes a record out of the bin. False if it is not there.
    pub(super) fn recover(&mut self, table: usize, number: u32, author: Author) -> bool {
        self.undelete(table, key(number), author.now, author.by)
    }

    /// Empties a table, with its bin, its delete log and hidden changes. Not logged record by record.
    pub(super) fn empty(&mut self, table: usize) {
        self.clear(table);
        self.tables[table].parts().1.forget_deletions();
    }
}
