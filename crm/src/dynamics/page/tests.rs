use engine::outside::crm::{FieldKind, ObjectField};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn decoder(fields: &[(&str, FieldKind)]) -> PageDecoder {
    let field = |(name, kind): &(&str, FieldKind)| ReadField { field: ObjectField::new(name, *kind), raw: false };
    PageDecoder::new(&fields.iter().map(field).collect::<Vec<_>>())
}

fn value() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_filter("JSON has no infinity", |f| f.is_finite()).prop_map(Json::from),
        ".{0,8}".prop_map(Json::from),
        prop::sample::select(vec!["\"", "\\", "\u{0}", "{[", "\u{1F600}", "\"@odata.nextLink\":\"x\""])
            .prop_map(Json::from),
    ]
}

proptest! {
    #[test]
    fn the_fast_way_and_the_slow_way_read_the_same(
        records in prop::collection::vec(prop::collection::btree_map("[ab]|@odata.etag|other", value(), 0..4), 0..20),
        link in prop::option::of(".{0,8}"),
    ) {
        let page = json!({ "value": records, "@odata.nextLink": link }).to_string();
        let decoder = decoder(&[("a", FieldKind::Text), ("b", FieldKind::Text)]);
        let (fast, fast_links) = decoder.fast(page.as_bytes()).unwrap();
        let (slow, slow_links) = loose::read(&decoder.places, page.as_bytes()).unwrap();
        prop_assert_eq!(fast.columns, slow.columns);
        prop_assert_eq!((fast_links.next, slow.unfit.len(), fast.rows), (slow_links.next.clone(), 0, records.len()));
        prop_assert_eq!(link_in_tail(page.as_bytes()), slow_links.next);
    }
}

#[test]
fn a_page_nested_without_end_spoils_one_record_and_no_stack() {
    let decoder = decoder(&[("a", FieldKind::Int)]);
    let lists = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let objects = format!("{}1{}", "{\"x\":".repeat(100_000), "}".repeat(100_000));
    for deep in [lists, objects] {
        let page = format!(r#"{{"value":[{{"a":1}},{{"a":{deep}}},{{"a":3}}]}}"#);
        let part = decoder.decode(page.as_bytes()).unwrap().parts.remove(0);
        assert_eq!((part.records.num_rows(), part.misfits.len()), (2, 1));
    }
}

#[test]
fn what_is_no_page_is_refused_whatever_it_begins_with() {
    let decoder = decoder(&[("a", FieldKind::Int)]);
    for body in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"value":null}"#,
        r#"{"value":{"a":1}}"#,
        r#"{"value":[{"a":1}"#,
        r#"{"value":[{"a":1}]}}"#,
        r#"{"value":[{"a":1}]}{"value":[]}"#,
        r#"{"error":{"code":"0x1"}}"#,
    ] {
        assert!(decoder.decode(body.as_bytes()).is_err(), "{body}");
    }
    assert!(decoder.decode(b"{\"value\":[{\"a\":\"\xff\"}]}").is_err());
    assert!(decoder.decode(b"\xef\xbb\xbf {\"value\":[]}\r\n").is_ok());
}
