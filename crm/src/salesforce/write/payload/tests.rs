use std::sync::Arc;

use arrow::array::{Decimal128Array, StringArray, TimestampMicrosecondArray};
use engine::outside::crm::{Object, ObjectField, Target};
use engine::types::MONEY;
use indexmap::IndexMap;

use super::*;

fn write(operation: Operation, key: &[&str], fields: &[(&str, FieldKind)]) -> Write {
    let account = ObjectField {
        targets: vec![Target { object: "Account".to_owned(), name: "Account".to_owned(), path: "Account".to_owned() }],
        ..ObjectField::new("AccountId", FieldKind::Lookup)
    };
    let field = |(name, kind): &(&str, FieldKind)| WriteField {
        field: ObjectField::new(name, *kind),
        raw: false,
        target: None,
    };
    let object = Object {
        name: "Contact".to_owned(),
        label: "Contact".to_owned(),
        internal_name: "Contact".to_owned(),
        id: "Id".to_owned(),
        fields: IndexMap::from_iter([("AccountId".to_owned(), account)]),
        keys: Vec::new(),
        feed: true,
        deletion_log: None,
    };
    Write::new(Arc::new(object), operation, key.iter().copied(), fields.iter().map(field).collect())
}

fn records(write: &Write, columns: Vec<ArrayRef>) -> RecordBatch {
    let fields: Vec<_> = write.fields.iter().map(|field| field.field.column(false)).collect();
    RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns).unwrap()
}

#[test]
fn a_record_is_an_object_or_a_line_and_null_is_said_by_name() {
    let upsert = write(
        Operation::Upsert,
        &["Ext__c"],
        &[
            ("Ext__c", FieldKind::Text),
            ("LastName", FieldKind::Text),
            ("Revenue__c", FieldKind::Money),
            ("Account.Number__c", FieldKind::Text),
        ],
    );
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![Some("A-1"), Some("b"), None])),
        Arc::new(StringArray::from(vec![Some("O'Brien, \"Pat\""), Some(""), Some("x")])),
        Arc::new(Decimal128Array::from(vec![Some(125_000), None, None]).with_data_type(MONEY)),
        Arc::new(StringArray::from(vec![Some("N1"), None, None])),
    ];
    let records = records(&upsert, columns);
    let texts = |is_bulk| -> Vec<String> {
        let all = encode(&upsert, is_bulk, &records).unwrap();
        let text = |found: Result<Payload, Reject>| match found {
            Ok(payload) => format!("{}|{}", payload.key.unwrap(), String::from_utf8_lossy(&payload.bytes)),
            Err(reject) => reject.code,
        };
        all.into_iter().map(text).collect()
    };
    assert_eq!(
        texts(false),
        [
            r#"a-1|{"attributes":{"type":"Contact"},"Ext__c":"A-1","LastName":"O'Brien, \"Pat\"","Revenue__c":12.5,"Account":{"Number__c":"N1"}}"#,
            r#"b|{"attributes":{"type":"Contact"},"Ext__c":"b","LastName":null,"Revenue__c":null}"#,
            "KEY_EMPTY",
        ]
    );
    assert_eq!(texts(true), ["a-1|A-1,\"O'Brien, \"\"Pat\"\"\",12.5,N1\n", "b|b,#N/A,#N/A,\n", "KEY_EMPTY"],);
    assert_eq!(header(&upsert).unwrap(), "Ext__c,LastName,Revenue__c,Account.Number__c\n");
}

#[test]
fn what_a_line_cannot_say_is_refused_and_what_it_says_is_read_back() {
    let insert = write(Operation::Insert, &[], &[("LastName", FieldKind::Text), ("Title", FieldKind::Text)]);
    let texts = ["#N/A", "a\0b", " a \n \"b\"\r\n;,", "="];
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(texts.to_vec())), Arc::new(StringArray::from(vec!["t"; 4]))];
    let found = encode(&insert, true, &records(&insert, columns)).unwrap();
    let codes: Vec<_> = found.iter().map(|found| found.as_ref().err().map(|reject| reject.code.as_str())).collect();
    assert_eq!(codes, [Some("VALUE_TYPE"), Some("VALUE_TYPE"), None, None]);
    let lines: Vec<Bytes> = found.into_iter().filter_map(|found| found.ok().map(|payload| payload.bytes)).collect();
    let mut read = Vec::new();
    each_line(&lines, |values| read.push(values.iter().map(str::to_owned).collect::<Vec<_>>())).unwrap();
    assert_eq!(read, [[texts[2], "t"], [texts[3], "t"]]);
    assert!(each_line(&[lines[0].clone(), Bytes::new()], |_| ()).is_err(), "a line that is missing");
}

#[test]
fn no_digit_is_lost_and_what_cannot_be_said_is_refused_and_not_sent_as_null() {
    let fields = [("Key__c", FieldKind::Text), ("Worth__c", FieldKind::Money), ("At__c", FieldKind::DateTime)];
    let update = write(Operation::Update, &["Key__c"], &fields);
    let last = 253_402_300_799_000_000;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["a", " ", "c"])),
        Arc::new(Decimal128Array::from(vec![90_071_992_547_409_930_100_i128, 1, 1]).with_data_type(MONEY)),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(0), Some(0), Some(last)]).with_timezone("UTC")),
    ];
    let records = records(&update, columns);
    for is_bulk in [false, true] {
        let found = encode(&update, is_bulk, &records).unwrap();
        let sent = String::from_utf8_lossy(&found[0].as_ref().unwrap().bytes).into_owned();
        assert!(sent.contains("9007199254740993.01"), "{sent}");
        let refused =
            |row: usize| found[row].as_ref().map_err(|reject| (reject.code.as_str(), reject.field.as_deref()));
        assert_eq!(refused(1).unwrap_err(), ("KEY_EMPTY", Some("Key__c")), "blanks find every record without a key");
        assert_eq!(refused(2).unwrap_err(), ("VALUE_TYPE", Some("At__c")));
    }
}
