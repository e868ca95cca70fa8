//! What is not set is never read as null.

use std::collections::BTreeMap;

use arrow::datatypes::Schema;
use engine::expr::{Source, Value};
use engine::script::eval_record;
use serde_json::json;

use crate::records::{values, wide};

#[test]
fn what_is_not_set_is_an_error_that_names_it_unless_a_default_is_given() {
    let batch = wide(0);
    let mut values = values();
    values.vars.insert("n".to_owned(), json!(10));
    values.vars.insert("nothing".to_owned(), json!(null));
    values.options.insert("FLOOR".to_owned(), "3".to_owned());
    values.indexes.insert("LASTIMPORT_w_import".to_owned());
    let read = |text: &str| {
        let bound = Source::from(text).bind(batch.schema_ref()).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        bound.resolve(&values).map(drop).map_err(|error| error.message)
    };
    for (text, unset) in [
        ("number > vars.floor", "vars.floor"),
        ("flag && number > instance.vars.floor", "instance.vars.floor"),
        ("task.vars.x == 1", "task.vars.x"),
        (r#"number >= option("MIN_KIDS")"#, r#"option("MIN_KIDS")"#),
        (r#"is_empty(option("MIN_KIDS"))"#, r#"option("MIN_KIDS")"#),
        ("lower(vars.x) ?? name", "vars.x"),
        ("name ?? vars.x", "vars.x"),
        ("if flag { vars.x } else { name }", "vars.x"),
        ("number in [1, vars.x]", "vars.x"),
        (r#"!has_option("MIN_KIDS") && vars.x == 1"#, "vars.x"),
    ] {
        assert_eq!(read(text), Err(format!("{unset} is not set")), "{text}");
    }
    for text in [
        "number > vars.floor ?? 3",
        "number > coalesce(vars.floor, instance.vars.floor, 3)",
        "vars.nothing == () && number == vars.n",
        r#"number > option("FLOOR")"#,
        r#"number >= option("MIN_KIDS", 2)"#,
        r#"number >= (option("MIN_KIDS") ?? 2)"#,
        r#"has_option("MIN_KIDS") && number >= option("MIN_KIDS")"#,
        r#"!has_option("MIN_KIDS") || number >= option("MIN_KIDS")"#,
        r#"if has_option("MIN_KIDS") { number >= option("MIN_KIDS") } else { true }"#,
        "vars.n ?? vars.x",
        r#"is_empty(option("LASTIMPORT_w_import"))"#,
    ] {
        assert_eq!(read(text), Ok(()), "{text}");
    }
}

#[test]
fn a_default_gives_for_a_column_what_it_gives_for_a_record() {
    let batch = wide(0);
    let mut values = values();
    values.vars.insert("set".to_owned(), json!("ada"));
    values.options.insert("FLOOR".to_owned(), "10".to_owned());
    for (text, wanted) in [
        ("vars.missing ?? \"d\"", json!("d")),
        ("vars.set ?? \"d\"", json!("ada")),
        ("coalesce(vars.missing, vars.set)", json!("ada")),
        ("option(\"MIN_KIDS\", \"2\")", json!("2")),
        ("option(\"FLOOR\", \"2\")", json!("10")),
        ("option(\"MIN_KIDS\") ?? \"2\"", json!("2")),
        ("has_option(\"FLOOR\")", json!(true)),
        ("has_option(\"MIN_KIDS\")", json!(false)),
    ] {
        let bound = Source::from(text).bind(&Schema::empty()).unwrap();
        let column = bound.eval(&batch, &values).unwrap();
        assert_eq!(Value::at(&column, 1).to_json(), wanted, "{text}");
        assert_eq!(eval_record(text, &BTreeMap::new(), &values).unwrap().to_json(), wanted, "the interpreter: {text}");
    }
}

#[test]
fn an_error_says_where_the_name_stands_and_how_a_default_is_given() {
    let batch = wide(0);
    let bound = Source::from("flag && number > vars.floor").bind(batch.schema_ref()).unwrap();
    let error = bound.resolve(&values()).unwrap_err();
    assert_eq!(error.at, Some(17));
    assert!(error.help.unwrap().contains("`vars.floor ?? "));
}
