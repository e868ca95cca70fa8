//! The plain loop that an import is compared with: one task that takes a page, decodes it with arrow-json as one row,
//! writes it as LZ4 Arrow, and syncs a file every 16 MiB.
//!
//! It asks for the next page before it decodes this one, as `crm.import` does, and numbers its records, so that the files
//! hold the same. It does without what a product needs: no checksums, no journal, no rejects, no retries, no way to go
//! on after a crash, and types as kind as arrow-json's.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use arrow::json::ReaderBuilder;
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};

use super::download::{client, fetch, next_link};
use crate::contacts::FIELDS;
use crate::measure::Fallible;
use crate::server::first_page;
use crate::work::Done;

/// As large as the segments of populations.
pub(super) const FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Does it.
#[tokio::main]
pub(crate) async fn plain(url: &str, folder: &Path) -> Fallible<Done> {
    let client = client()?;
    let mut done = Done::default();
    let (fields, envelope) = schemas();
    let begin = Instant::now();
    let mut next = Some(tokio::spawn(fetch(client.clone(), first_page(url))));
    let mut open: Option<Open> = None;
    while let Some(page) = next.take() {
        let page = page.await??;
        next = next_link(&page)?.map(|link| tokio::spawn(fetch(client.clone(), link)));
        let records = number(&fields, &decode(&envelope, &page)?, done.records)?;
        done.records += records.num_rows() as u64;
        let file = match &mut open {
            Some(open) => open,
            None => open.insert(Open::new(folder, done.segments, &fields)?),
        };
        if file.write(&records)? >= FILE_BYTES
            && let Some(full) = open.take()
        {
            done.bytes += full.seal()?;
            done.segments += 1;
        }
    }
    if let Some(last) = open {
        done.bytes += last.seal()?;
        done.segments += 1;
    }
    Ok(Done { seconds: begin.elapsed().as_secs_f64(), ..done })
}

/// Of the files, and of a page.
fn schemas() -> (SchemaRef, SchemaRef) {
    let kind = |kind: &str| match kind {
        "DateOnly" => DataType::Date32,
        "Integer" | "State" => DataType::Int32,
        "Money" => DataType::Decimal128(19, 4),
        "DateTime" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        _ => DataType::Utf8,
    };
    let fields: Vec<Field> = FIELDS.iter().map(|(name, is)| Field::new(*name, kind(is), true)).collect();
    let record = Field::new_list_field(DataType::Struct(Fields::from(fields.clone())), false);
    let envelope = Schema::new(vec![Field::new("value", DataType::List(Arc::new(record)), false)]);
    let numbered = fields.into_iter().chain([Field::new("_seq", DataType::Int64, false)]);
    (Arc::new(Schema::new(numbered.collect::<Vec<_>>())), Arc::new(envelope))
}

fn decode(envelope: &SchemaRef, page: &[u8]) -> Fallible<RecordBatch> {
    let mut decoder = ReaderBuilder::new(Arc::clone(envelope)).with_batch_size(8 * 1024).build_decoder()?;
    decoder.decode(page)?;
    let page = decoder.flush()?.ok_or("a page without a row")?;
    Ok(RecordBatch::from(page.column(0).as_list::<i32>().values().as_struct()))
}

/// With the column that keeps the order of arrival.
pub(super) fn number(fields: &SchemaRef, records: &RecordBatch, first: u64) -> Fallible<RecordBatch> {
    let (first, rows) = (i64::try_from(first)?, i64::try_from(records.num_rows())?);
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + rows));
    let columns = records.columns().iter().cloned().chain([numbers]).collect();
    Ok(RecordBatch::try_new(Arc::clone(fields), columns)?)
}

/// A file that is being written.
pub(super) struct Open {
    path: PathBuf,
    writer: FileWriter<BufWriter<Counted>>,
}

impl Open {
    pub(super) fn new(folder: &Path, number: u64, fields: &SchemaRef) -> Fallible<Self> {
        let path = folder.join(format!("{number:06}.arrow"));
        let file = BufWriter::with_capacity(
            256 * 1024,
            Counted { file: File::create(path.with_extension("part"))?, bytes: 0 },
        );
        let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
        Ok(Self { path, writer: FileWriter::try_new_with_options(file, fields, options)? })
    }

    /// Writes records, and tells how long the file is now.
    pub(super) fn write(&mut self, records: &RecordBatch) -> Fallible<u64> {
        self.writer.write(records)?;
        Ok(self.writer.get_ref().get_ref().bytes)
    }

    /// Ends it durably, and tells its length.
    pub(super) fn seal(self) -> Fallible<u64> {
        let Counted { file, bytes } = self.writer.into_inner()?.into_inner()?;
        file.sync_all()?;
        fs::rename(self.path.with_extension("part"), &self.path)?;
        File::open(self.path.parent().ok_or("no folder")?)?.sync_all()?;
        Ok(bytes)
    }
}

/// A file that knows its length.
#[derive(Debug)]
struct Counted {
    file: File,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
