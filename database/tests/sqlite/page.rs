//! The guide's page on types shows what is written; `UPDATE_DOCS=1 cargo nextest run -p database` writes it.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray, ListBuilder,
    RecordBatch, StringArray, StringBuilder, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::datatypes::Int64Type;
use database::Sqlite;
use engine::expr::Value;
use engine::outside::database::Operation;
use engine::types::Type;
use engine::written::Written;
use rusqlite::Connection;

use super::Place;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide/types.md");

/// Of each type one value, the declared type by which it is read back, and others that are read alike.
fn examples() -> Vec<(ArrayRef, &'static str, &'static str)> {
    let at = || TimestampMicrosecondArray::from(vec![1_769_864_700_000_000]);
    let money = Decimal128Array::from(vec![125_000]).with_precision_and_scale(19, 4).unwrap();
    let mut names = ListBuilder::new(StringBuilder::new());
    names.append_value([Some("Art"), Some("Music")]);
    vec![
        (Arc::new(BooleanArray::from(vec![true])), "BOOLEAN", ""),
        (Arc::new(Int64Array::from(vec![9_007_199_254_740_993])), "INTEGER", "any name with `INT`"),
        (Arc::new(Float64Array::from(vec![0.1])), "REAL", "`DOUBLE`, `FLOAT`"),
        (Arc::new(money.clone()), "DECIMAL_TEXT(19,4)", "keeps all digits"),
        (Arc::new(money), "DECIMAL(19,4)", "`NUMERIC`, `MONEY`; keep 15 digits"),
        (
            Arc::new(StringArray::from(vec!["Zoë"])),
            "TEXT",
            "`VARCHAR(40)`, any name with `CHAR`, `CLOB` or `TEXT`; none",
        ),
        (Arc::new(Date32Array::from(vec![20_484])), "DATE", ""),
        (Arc::new(at().with_timezone("UTC")), "TIMESTAMP", "`DATETIME`, `TIMESTAMPTZ`"),
        (Arc::new(at()), "TIMESTAMP WITHOUT TIME ZONE", "`LOCAL DATETIME`"),
        (Arc::new(Time64MicrosecondArray::from(vec![47_100_000_000])), "TIME", ""),
        (Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1), Some(3)])])), "INTEGER LIST", ""),
        (Arc::new(names.finish()), "TEXT LIST", "`LIST`"),
    ]
}

fn types() -> String {
    let mut page =
        String::from("| Type | Column declared as | In SQLite | In CSV | In JSON |\n| --- | --- | --- | --- | --- |\n");
    for (array, declared, others) in examples() {
        let place = Place::new(&format!("CREATE TABLE t(v {declared})"));
        let batch = RecordBatch::try_from_iter([("v", Arc::clone(&array))]).unwrap();
        place.write(Operation::Insert, &[], batch).unwrap();
        let kept = &place.rows("SELECT v FROM t")[0];
        let csv = Written::of(&array).unwrap().text(0).unwrap().unwrap();
        let (ty, json) = (Type::of(array.data_type()).unwrap(), Value::json_at(&array, 0));
        let between = if others.is_empty() { "" } else { ", " };
        writeln!(page, "| {ty} | `{declared}`{between}{others} | `{kept}` | `{csv}` | `{json}` |").unwrap();
    }
    page
}

fn recipient() -> String {
    let mut page = String::from("| Column | Declared as | Default |\n| --- | --- | --- |\n");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("marketing.db");
    drop(Sqlite::open(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    let mut columns = connection
        .prepare("SELECT name, type, pk, dflt_value IS NOT NULL FROM pragma_table_info('recipient')")
        .unwrap();
    let columns = columns.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, bool>(2)?, row.get(3)?))
    });
    for column in columns.unwrap() {
        let (name, declared, key, default): (_, _, _, bool) = column.unwrap();
        let key = if key { " PRIMARY KEY" } else { "" };
        writeln!(page, "| `{name}` | `{declared}{key}` | {} |", if default { "now, in UTC" } else { "" }).unwrap();
    }
    page
}

#[test]
fn the_page_on_types_is_in_step() {
    let mut page = std::fs::read_to_string(PAGE).unwrap();
    for (name, wanted) in [("types", types()), ("recipient", recipient())] {
        let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
        let (before, rest) = page.split_once(&begin).unwrap();
        let (there, after) = rest.split_once(&end).unwrap();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            page = format!("{before}{begin}{wanted}{end}{after}");
            std::fs::write(PAGE, &page).unwrap();
        } else {
            assert_eq!(there, wanted, "run with UPDATE_DOCS=1");
        }
    }
}
