//! How fast pages become Arrow: `cargo run --release -p crm --example decode`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, run by hand")]

use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::{DataType, Field, Schema};
use arrow::json::ReaderBuilder;
use crm::dynamics::PageDecoder;
use engine::outside::crm::{FieldKind, ObjectField, ReadField};

const RECORDS: usize = 5_000;
const ROUNDS: usize = 60;

fn main() {
    let kinds = [
        ("contactid", FieldKind::Text),
        ("firstname", FieldKind::Text),
        ("lastname", FieldKind::Text),
        ("emailaddress1", FieldKind::Text),
        ("telephone1", FieldKind::Text),
        ("address1_line1", FieldKind::Text),
        ("address1_city", FieldKind::Text),
        ("address1_country", FieldKind::Text),
        ("birthdate", FieldKind::Date),
        ("statecode", FieldKind::Picklist),
        ("donotemail", FieldKind::Bool),
        ("annualincome", FieldKind::Money),
        ("parentcustomerid", FieldKind::Lookup),
        ("createdon", FieldKind::DateTime),
        ("modifiedon", FieldKind::DateTime),
    ];
    let fields: Vec<ReadField> =
        kinds.iter().map(|(name, kind)| ReadField { field: field(name, *kind), raw: false }).collect();
    let page = page();
    let decoder = PageDecoder::new(&fields);
    assert_eq!(decoder.decode(page.as_bytes()).unwrap().parts[0].records.num_rows(), RECORDS);
    let ours = best(|| drop(decoder.decode(page.as_bytes()).unwrap()));
    let alone = best(|| arrow_json_alone(&fields, &page));
    let (bytes, records) = (f64::from(u32::try_from(page.len()).unwrap()), f64::from(u32::try_from(RECORDS).unwrap()));
    for (name, seconds) in [("PageDecoder", ours), ("arrow-json alone, typed", alone)] {
        println!(
            "{name}: {:.0} MB/s, {:.0} records/s; {:.0} bytes a record, {} columns, {:.2} ms a page",
            bytes / seconds / 1e6,
            records / seconds,
            bytes / records,
            fields.len(),
            seconds * 1e3
        );
    }
}

/// The best round, in seconds: what the others take longer is other programs' work.
fn best(mut round: impl FnMut()) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let begin = Instant::now();
        round();
        begin.elapsed().as_secs_f64()
    });
    rounds.fold(f64::MAX, f64::min)
}

/// What could be had without names of misfits: the same page, each column read as its type at once.
fn arrow_json_alone(fields: &[ReadField], page: &str) {
    let column = |read: &ReadField| {
        let name = if read.field.kind == FieldKind::Lookup { "_parentcustomerid_value" } else { &read.field.name };
        let data = match read.column().data_type() {
            DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, None),
            data => data.clone(),
        };
        Field::new(name, data, true)
    };
    let record = DataType::Struct(fields.iter().map(column).collect());
    let value = Field::new("value", DataType::List(Arc::new(Field::new_list_field(record, false))), false);
    let builder = ReaderBuilder::new(Arc::new(Schema::new(vec![value]))).with_batch_size(1);
    let mut decoder = builder.build_decoder().unwrap();
    decoder.decode(page.as_bytes()).unwrap();
    decoder.flush().unwrap().unwrap();
}

fn field(name: &str, kind: FieldKind) -> ObjectField {
    ObjectField { system_type: "String".to_owned(), ..ObjectField::new(name, kind) }
}

fn page() -> String {
    let records: Vec<String> = (0..RECORDS)
        .map(|n| {
            format!(
                concat!(
                    r#"{{"@odata.etag":"W/\"{n}\"","contactid":"c0000000-0000-4000-8000-{n:012}","firstname":"Augusta Ada","#,
                    r#""lastname":"Lovelace {n}","emailaddress1":"ada.{n}@example.com","telephone1":null,"#,
                    r#""address1_line1":"{n} St James's Square","address1_city":"London","address1_country":"GB","#,
                    r#""birthdate":"1980-05-31","statecode":0,"donotemail":false,"annualincome":{n}.5000,"#,
                    r#""_parentcustomerid_value":"acc00000-0000-4000-8000-{n:012}","createdon":"2026-01-01T08:00:00Z","#,
                    r#""modifiedon":"2026-03-01T08:00:00Z"}}"#
                ),
                n = n
            )
        })
        .collect();
    format!(r#"{{"@odata.context":"x","value":[{}],"@odata.nextLink":"https://x/y?$skiptoken=1"}}"#, records.join(","))
}
