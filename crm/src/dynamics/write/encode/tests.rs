use std::sync::Arc;

use arrow::array::{Date32Array, Float64Array};
use arrow::datatypes::Schema;
use engine::outside::crm::{Object, ObjectField};
use engine::types::UTC;
use indexmap::IndexMap;

use super::*;

#[test]
fn the_last_second_is_sent_as_it_is_and_what_is_beyond_any_date_is_refused() {
    let object = Object {
        name: "contacts".to_owned(),
        label: "Contact".to_owned(),
        internal_name: "contact".to_owned(),
        id: "contactid".to_owned(),
        fields: IndexMap::new(),
        keys: Vec::new(),
        feed: true,
        deletion_log: None,
    };
    let kinds = [("at", FieldKind::DateTime), ("day", FieldKind::Date), ("number", FieldKind::Double)];
    let field = |(name, kind)| WriteField { field: ObjectField::new(name, kind), raw: false, target: None };
    let write = Write::new(Arc::new(object), Operation::Insert, [""; 0], kinds.map(field).to_vec());
    let last = 253_402_300_799_000_000;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(
            TimestampMicrosecondArray::from(vec![
                last,
                250_000,
                i64::MAX,
                0,
                0,
                0,
                -6_847_804_800_000_001,
                -6_847_804_800_000_000,
            ])
            .with_timezone(UTC),
        ),
        Arc::new(Date32Array::from(vec![2_932_896, -1, 0, i32::MAX, 0, -79_258, 0, -79_257])),
        Arc::new(Float64Array::from(vec![-0.0, 0.5, 0.0, 0.0, f64::NAN, 0.0, 0.0, 0.0])),
    ];
    let fields: Vec<_> = write.fields.iter().map(|field| field.field.column(false)).collect();
    let records = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let found = encode(&write, &records).unwrap();
    let sent = |row: usize| String::from_utf8_lossy(&found[row].as_ref().unwrap().bytes).into_owned();
    assert_eq!(sent(0), "\n{\"at\":\"9999-12-31T23:59:59Z\",\"day\":\"9999-12-31\",\"number\":-0}");
    assert_eq!(sent(1), "\n{\"at\":\"1970-01-01T00:00:00.25Z\",\"day\":\"1969-12-31\",\"number\":0.5}");
    assert_eq!(sent(7), "\n{\"at\":\"1753-01-01T00:00:00Z\",\"day\":\"1753-01-01\",\"number\":0}");
    for (row, field) in [(2, "at"), (3, "day"), (4, "number"), (5, "day"), (6, "at")] {
        let reject = found[row].as_ref().unwrap_err();
        assert_eq!((reject.code.as_str(), reject.field.as_deref()), ("VALUE_TYPE", Some(field)));
    }
}
