//! Functions of shared scripts in expressions.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use engine::expr::{Source, Value};
use engine::script::{Functions, Limits};
use engine::types::Type;

use crate::records::values;

const CONTACT: &str = include_str!("../../../scripts/contact.rhai");
const OTHERS: &str = r#"
    fn twice(n) { n * 2 }
    fn size(text) { if text == () { () } else if len(text) > 5 { "large" } else { len(text) } }
    fn long(text) { len(text) > 5 }
    fn fails(text) { if text == "b" { throw "not this one" } text }
    fn deep(n) { deep(n + 1) }
    fn endless(n) { loop { } }
    fn logs(x) { log_info(x); x }
    fn calls(x) { logs(x) }
    fn reads(x) { x > option("FLOOR") }
    fn sets(x) { set_option("FLOOR", x); x }
    fn mine() { this.x }
"#;

fn functions() -> Arc<Functions> {
    let library = [("contact.rhai", CONTACT), ("others.rhai", OTHERS)].map(|(n, t)| (n.to_owned(), t.to_owned()));
    Arc::new(Functions::new(&library, &Limits::default()))
}

fn people() -> RecordBatch {
    let phones =
        [Some("020 7946 0018"), Some("+44 (0)20 7946-0018"), Some("0033 1 23 45 67 89"), Some("ext. 12"), None];
    let columns: [(&str, ArrayRef); 3] = [
        ("phone_number", Arc::new(StringArray::from(phones.to_vec()))),
        ("letter", Arc::new(StringArray::from(vec![Some("a"), Some("b"), Some("c"), Some("letters"), None]))),
        ("n", Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(3), Some(4), None]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn told(text: &str) -> Vec<String> {
    let batch = people();
    let Err(errors) = Source::from(text).bind_with(batch.schema_ref(), &functions()) else { return Vec::new() };
    errors.into_iter().map(|e| format!("{:?}: {}; {}", e.at, e.message, e.help.unwrap_or_default())).collect()
}

#[test]
fn a_pure_function_is_called_for_each_record_in_filters_and_mappings() {
    let batch = people();
    let column = |text: &str| {
        let bound = Source::from(text).bind_with(batch.schema_ref(), &functions()).unwrap_or_else(|e| panic!("{e:?}"));
        let column = bound.eval(&batch, &values()).unwrap();
        (0..batch.num_rows()).map(|row| Value::at(&column, row).to_string()).collect::<Vec<_>>()
    };
    let rows = |text: &str| {
        let bound = Source::from(text).bind_with(batch.schema_ref(), &functions()).unwrap_or_else(|e| panic!("{e:?}"));
        bound.require(&Type::Bool).unwrap();
        let matches = bound.matches(&batch, &values()).unwrap();
        matches.values().set_indices().collect::<Vec<_>>()
    };
    let (london, paris) = ("+442079460018", "+33123456789");
    assert_eq!(column(r#"phone(phone_number, "44")"#), [london, london, paris, "+4412", ""]);
    assert_eq!(rows("is_phone(phone_number)"), [0, 1, 2]);
    assert_eq!(rows("!is_phone(phone_number) && n > 0"), [3]);
    assert_eq!(rows(r#"phone(phone_number, "44") == "+442079460018""#), [0, 1]);
    assert_eq!(rows("n > 3 || is_phone(phone_number)"), [0, 1, 2, 3]);
    assert_eq!(rows("n != () && twice(n) > 5"), [2, 3], "it meets a number");
    assert_eq!(column(r#"full_name(letter, "X") + "!""#)[0], "a X!");
    assert_eq!(column("to_int(twice(2)) + n")[1], "6");
    assert_eq!(column(r#"phone(phone_number, "44") ?? "none""#)[4], "none");
}

#[test]
fn a_result_of_another_kind_is_an_error_of_its_record_and_never_passes_for_false() {
    let batch = people();
    let failing = |text: &str| {
        let bound = Source::from(text).bind_with(batch.schema_ref(), &functions()).unwrap();
        let (_, failing) = bound.eval_each(&batch, &values()).unwrap();
        failing.into_iter().map(|(row, error)| (row, error.message)).collect::<Vec<_>>()
    };
    let message = |row: usize, text: &str| (row, text.to_owned());
    assert_eq!(failing("size(letter) > 0"), [message(3, "`size` gives \"large\", which is not a whole number")]);
    assert_eq!(failing("fails(letter)"), [message(1, "`fails`: not this one")]);
    let bound = Source::from("size(letter)").bind_with(batch.schema_ref(), &functions()).unwrap();
    let error = bound.matches(&batch, &values()).unwrap_err();
    assert_eq!((error.row, error.message.as_str()), (Some(0), "`size` gives 1, which is not true or false"));
}

#[test]
fn a_function_obeys_the_limits_for_each_record() {
    let batch = people();
    for (text, limit) in [("deep(1) == 1", "callDepth"), ("endless(n) == 1", "operations` of 100000")] {
        let bound = Source::from(text).bind_with(batch.schema_ref(), &functions()).unwrap();
        let error = bound.eval(&batch, &values()).unwrap_err();
        assert!(error.message.contains(limit), "{text}: {error:?}");
    }
}

#[test]
fn what_is_not_pure_or_not_there_or_of_an_unknown_kind_is_told() {
    let pure = "expressions call functions that only give a value";
    assert_eq!(
        told("logs(letter) == \"a\""),
        [format!(
            "Some(0): `logs` of the shared script `others.rhai` is for script activities: it writes to the log; {pure}"
        )]
    );
    assert!(told("calls(letter)")[0].contains("`logs`, which it calls, writes to the log"));
    assert!(told("sets(n) > 1")[0].contains("it sets options"));
    assert!(told("reads(n)")[0].contains("it reads an option"));
    assert!(told("mine()")[0].contains("it uses `this`"));
    assert!(told("phon(phone_number, \"44\")")[0].ends_with("there is no function `phon`; did you mean `phone`?"));
    assert!(told("phone(phone_number)")[0].contains("`phone` takes 2 values, not 1"));
    assert!(told("phone_number.phone(\"44\")")[0].contains("write `phone(x)`"));
    assert!(told("twice(n) + 1")[0].contains("it is not known what kind of value `twice` gives here"));
    assert!(told("twice(n) > twice(1)")[0].contains("`to_int(twice(…))`"));
    let all = told("lowr(letter) == phon(nn)");
    assert_eq!(all.len(), 3, "all that is wrong at once: {all:#?}");
}
