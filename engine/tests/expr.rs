//! Expressions: our evaluation of whole columns against Rhai's interpreter, record by record.
#![expect(clippy::unwrap_used, reason = "test code")]

#[path = "expr/interpreter.rs"]
mod interpreter;
#[path = "expr/records.rs"]
mod records;
#[path = "expr/shared.rs"]
mod shared;
#[path = "expr/unset.rs"]
mod unset;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use engine::expr::{FUNCTIONS, Source, Value};
use engine::script::eval_record;
use engine::types::Type;

use records::{records, values, wide};

/// Contacts N1 to N5: departments in two cases, numbers, dates, and nulls.
fn contacts() -> RecordBatch {
    let marketing = Some("Marketing");
    let columns: [(&str, ArrayRef); 6] = [
        ("department", Arc::new(StringArray::from(vec![marketing, marketing, Some("Sales"), Some("marketing"), None]))),
        ("jobtitle", Arc::new(StringArray::from(vec![Some("CMO"), None, None, Some("CMO"), None]))),
        ("new_number", Arc::new(Int32Array::from(vec![Some(10), Some(10), Some(60000), Some(10), None]))),
        // 2012-10-31 and the two days after it.
        ("new_activity", Arc::new(Date32Array::from(vec![Some(15644), Some(15645), Some(15646), None, None]))),
        ("emailaddress1", Arc::new(StringArray::from(vec![Some("a@example.com"); 5]))),
        ("lastname", Arc::new(StringArray::from(vec![Some("Ada"); 5]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

#[test]
fn filters_choose_the_records_that_they_name() {
    let mut values = values();
    values.options.insert("FLOOR".to_owned(), "50000".to_owned());
    let batch = contacts();
    for (filter, wanted) in [
        ("is_empty(department)", "N5"),
        ("new_number > 50051", "N3"),
        (
            r#"department == "Marketing" && !is_empty(emailaddress1) && !is_empty(jobtitle) && !is_empty(lastname) || new_number > 50051"#,
            "N1 N3",
        ),
        (r#"!(department == "Marketing")"#, "N3 N4 N5"),
        ("len(department) > 5 && new_number == 10", "N1 N2 N4"),
        (r#"new_number > option("FLOOR")"#, "N3"),
        (r#"department == "O'Neil""#, ""),
        (r#"new_activity >= date("2012-11-01")"#, "N2 N3"),
        (r#"new_activity > date("2012-11-01")"#, "N3"),
    ] {
        let bound = Source::from(filter).bind(batch.schema_ref()).unwrap();
        let ours = bound.matches(&batch, &values).unwrap();
        let named = |rows: Vec<bool>| {
            let rows = rows.iter().enumerate().filter(|(_, yes)| **yes);
            rows.map(|(i, _)| format!("N{}", i + 1)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(named(ours.values().iter().collect()), wanted, "ours: {filter}");
        let rhai =
            records(&batch).iter().map(|r| eval_record(filter, r, &values).unwrap() == Value::Bool(true)).collect();
        assert_eq!(named(rhai), wanted, "the interpreter: {filter}");
    }
}

#[test]
fn the_example_of_each_function_is_true() {
    let one = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
    for function in FUNCTIONS {
        let example = Source::from(function.example);
        let bound = example.bind(one.schema_ref()).unwrap_or_else(|e| panic!("{}: {e:?}", function.example));
        assert!(bound.matches(&one, &values()).unwrap().value(0), "{}", function.example);
        let rhai = eval_record(function.example, &BTreeMap::new(), &values());
        assert_eq!(rhai, Ok(Value::Bool(true)), "{}", function.example);
        assert!(function.example.contains(&format!("{}(", function.name)), "{}", function.name);
    }
}

const BROKEN: &[&str] = &[
    "department ==",
    "name = \"Ada\"",
    "name == 'Ada'",
    "name == \"Ada",
    "lowr(name) == \"ada\"",
    "nam == \"Ada\"",
    "number > \"4\"",
    "day >= \"2012-11-01\"",
    "at >= date(\"2012-11-01\")",
    "date(\"2012-13-01\") == day",
    "number && flag",
    "name",
    "flag and number > 1",
    "name != null",
    "number eq 0",
    "number > ()",
    "default == 1",
    "until > at",
    "fn == 1",
    "name == const",
    "let x = 5; x",
    "len(name, 1, 2) > 1",
    "name + 1 == \"a1\"",
    "sub_string(name, \"1\") == nmae && contains(day, \"x\")",
    "option(name) == \"x\"",
];

#[test]
fn a_picklist_that_is_compared_with_text_is_told_its_numbers() {
    let options = [("options".to_owned(), r#"{"1":"Male","2":"Female"}"#.to_owned())];
    let gender = Field::new("gendercode", DataType::Int32, true).with_metadata(options.into());
    for text in ["gendercode == \"Male\"", "\"Male\" != gendercode", "gendercode in [1, \"Male\"]"] {
        let errors = Source::from(text).bind(&Schema::new(vec![gender.clone()])).unwrap_err();
        assert_eq!(errors[0].help.as_deref(), Some("write one of its numbers: 1 Male, 2 Female"), "{text}");
    }
}

/// Where and what each broken expression is told.
#[test]
fn a_broken_expression_is_told_where_what_and_what_now() {
    let batch = wide(0);
    let mut told = String::new();
    for text in BROKEN {
        let source = Source::from(*text);
        let mut errors =
            source.bind(batch.schema_ref()).map_or_else(|e| e, |b| b.require(&Type::Bool).err().into_iter().collect());
        errors.iter_mut().for_each(|e| assert_ne!(e.help.as_deref(), Some(""), "{text}"));
        told.push_str(&format!("{text}\n"));
        for error in errors {
            let at = error.at.map_or("end".to_owned(), |at| at.to_string());
            told.push_str(&format!("  {at}: {}; {}\n", error.message, error.help.unwrap_or_default()));
        }
    }
    insta::assert_snapshot!(told, @r##"
    department ==
      end: it ends too early; complete it, or close what was opened
    name = "Ada"
      5: unexpected '='; `==` compares; assignments are for script activities
    name == 'Ada'
      8: invalid character: 'Ada'; text stands in double quotes: "text"
    name == "Ada
      8: open string is not terminated; close the text with a double quote
    lowr(name) == "ada"
      0: there is no function `lowr`; did you mean `lower`?
    nam == "Ada"
      0: there is no column `nam`; did you mean `name`?
    number > "4"
      7: a whole number and text have no order; write 4 without quotes
    day >= "2012-11-01"
      4: a date and text have no order; write `date("2012-11-01")`
    at >= date("2012-11-01")
      3: a date and time and a date have no order; write `datetime("2012-11-01T00:00:00Z")`, or compare `date(column)`
    date("2012-13-01") == day
      5: "2012-13-01" is not a date; write `date("2012-11-01")`
    number && flag
      0: this is a whole number, not true or false; compare it with a number, such as `x != 0`
    name
      0: this gives text, but true or false is needed; write `!is_empty(text)`, or compare it with a text
    flag and number > 1
      5: `and` is not a word of expressions; write `a && b`
    name != null
      8: `null` is a word of the language; nothing is written `()`: `x != ()`, or `!is_empty(x)`; a column is written `field("null")`
    number eq 0
      7: `eq` is not a word of expressions; write `==`
    number > ()
      7: null has no order: this is always false; write `== ()` or `!= ()`, or use `is_empty`
    default == 1
      0: `default` is a word of the language; a column of this name is written `field("default")`
    until > at
      0: `until` is a word of the language; a column of this name is written `field("until")`
    fn == 1
      0: `fn` is a word of the language; a column of this name is written `field("fn")`
    name == const
      8: `const` is a word of the language; a column of this name is written `field("const")`
    let x = 5; x
      0: this is not one expression; statements are for script activities; an expression is one value, such as `lower(name)`
    len(name, 1, 2) > 1
      0: `len` takes 1 value, not 3; write `len(text)`
    name + 1 == "a1"
      5: text and a whole number cannot be reckoned with; write `concat(a, b)` to join as text
    sub_string(name, "1") == nmae && contains(day, "x")
      17: `sub_string` takes a whole number as `start`, not text; write 1 without quotes
      25: there is no column `nmae`; did you mean `name`?
      42: `contains` takes text as `text`, not a date; write `to_text(x)`
    option(name) == "x"
      0: `option` takes one constant name; write `option("…")` with the name itself in quotes
    "##);
}

#[test]
fn an_expression_that_is_too_long_or_too_deep_is_refused() {
    // A worker's stack, where `check` reads expressions.
    let small = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    let read = || {
        let error = |text: String| Source::from(text).parse().unwrap_err().message;
        [
            error("1+".repeat(2000) + "1"),
            error("(".repeat(2000) + "1"),
            error("!".repeat(4000) + "flag"),
            error("1+".repeat(5000) + "1"),
        ]
    };
    let messages = small.spawn(read).unwrap().join().unwrap();
    for (message, wanted) in messages.iter().zip(["deep", "deep", "deep", "long"]) {
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn what_cannot_be_computed_names_the_first_record() {
    let numbers =
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![4, 2, 0, 0])) as ArrayRef)]).unwrap();
    let eval = |text: &str| {
        let bound = Source::from(text).bind(numbers.schema_ref()).unwrap();
        bound.eval(&numbers, &values()).map_err(|e| (e.row, e.at, e.message))
    };
    assert_eq!(eval("100 / n").unwrap_err(), (Some(2), Some(4), "100 is divided by zero".to_owned()));
    assert_eq!(eval("n + 9223372036854775807").unwrap_err().0, Some(0));
    assert!(eval("n != 0 && 100 / n > 30").is_ok());
    assert!(eval("if n == 0 { 0 } else { 100 / n }").is_ok());
    assert_eq!(eval("n < 3 && 100 / n > 30").unwrap_err().0, Some(2), "the row is that of the whole batch");
}

/// Whichever part of the expression comes to it first, and however many others fail too.
#[test]
fn each_record_that_fails_is_named_with_its_own_error() {
    let text = |values: [&str; 3]| Arc::new(StringArray::from_iter_values(values)) as ArrayRef;
    let batch = RecordBatch::try_from_iter([
        ("joined", text(["2026-01-01", "unknown", "2026-01-01"])),
        ("left", text(["n/a", "2026-02-01", "2026-02-01"])),
    ])
    .unwrap();
    for expression in [
        "days_between(date(joined), date(left))",
        "days_between(date(left), date(joined))",
        r#"if date(joined) < date("2026-06-01") { days_between(date(joined), date(left)) } else { 0 }"#,
        "coalesce(days_between(date(joined), date(left)), 0)",
    ] {
        let bound = Source::from(expression).bind(batch.schema_ref()).unwrap();
        let (days, failing) = bound.eval_each(&batch, &values()).unwrap();
        let failing: Vec<_> = failing.iter().map(|(row, error)| (*row, error.row, error.message.as_str())).collect();
        let wanted = [
            (0, Some(0), "\"n/a\" is not a date such as 2012-11-01"),
            (1, Some(1), "\"unknown\" is not a date such as 2012-11-01"),
        ];
        assert_eq!(failing, wanted, "{expression}");
        let days: Vec<_> = (0..3).map(|row| Value::at(&days, row)).collect();
        assert_eq!([&days[0], &days[1]], [&Value::Null; 2], "{expression}");
        assert!(matches!(days[2], Value::Int(31 | -31)), "{expression}: {days:?}");
        assert_eq!(bound.eval(&batch, &values()).unwrap_err().row, Some(0), "{expression}");
    }
}

#[test]
fn whole_numbers_keep_their_digits_beside_floating_point() {
    let two_53 = 9_007_199_254_740_992_i64;
    let batch = RecordBatch::try_from_iter([
        ("big", Arc::new(Int64Array::from(vec![two_53 + 1])) as ArrayRef),
        ("ratio", Arc::new(Float64Array::from(vec![9_007_199_254_740_992.0])) as ArrayRef),
    ])
    .unwrap();
    let mut values = values();
    values.options.insert("big".to_owned(), (two_53 + 1).to_string());
    values.vars.insert("big".to_owned(), (two_53 + 1).into());
    let record = &records(&batch)[0];
    for condition in [
        "big != ratio && big > ratio && ratio < big",
        "ratio != 9007199254740993 && ratio == 9007199254740992",
        "!(ratio in [9007199254740993])",
        r#"ratio < option("big") && ratio < vars.big && big == option("big")"#,
        "max(big, 1) == big && big % 2 == 1 && to_int(to_text(big)) == big",
        "to_decimal(big) > ratio && -big < -ratio",
    ] {
        let bound = Source::from(condition).bind(batch.schema_ref()).unwrap();
        assert!(bound.matches(&batch, &values).unwrap().value(0), "{condition}");
        assert_eq!(eval_record(condition, record, &values), Ok(Value::Bool(true)), "the interpreter: {condition}");
    }
    for lossy in ["big + ratio", "coalesce(big, ratio)", "if ratio > 0.5 { big } else { ratio }"] {
        let bound = Source::from(lossy).bind(batch.schema_ref()).unwrap();
        assert_eq!(bound.eval(&batch, &values).unwrap_err().row, Some(0), "{lossy}");
    }
}

#[test]
fn a_variable_becomes_what_it_meets_or_says_why_not() {
    let batch = wide(0);
    let mut values = values();
    for (name, json) in [
        ("n", serde_json::json!("12")),
        ("bad", serde_json::json!("abc")),
        ("end", serde_json::json!("2026/03/03 10:00:00")),
    ] {
        values.vars.insert(name.to_owned(), json);
    }
    let resolved = |text: &str| {
        let bound = Source::from(text).bind(batch.schema_ref()).unwrap();
        bound.resolve(&values).map(|b| format!("{:?}", b.expr())).map_err(|e| e.message)
    };
    assert_eq!(resolved("number > vars.n").unwrap(), resolved("number > 12").unwrap());
    assert_eq!(resolved("at < vars.end").unwrap(), resolved(r#"at < datetime("2026-03-03T10:00:00Z")"#).unwrap());
    assert_eq!(
        resolved("at > add_days(now(), -1)").unwrap(),
        resolved(r#"at > datetime("2026-03-02T10:00:00Z")"#).unwrap()
    );
    assert_eq!(resolved("number > vars.bad").unwrap_err(), "vars.bad is \"abc\", which is not a whole number");
    assert_eq!(resolved("vars.missing == ()").unwrap_err(), "vars.missing is not set");
}

/// The table of functions in the guide; `UPDATE_DOCS=1 cargo nextest run -p engine` writes it.
#[test]
fn the_guide_lists_every_function() {
    let mut table = String::from("| Function | Gives |\n| --- | --- |\n");
    for function in FUNCTIONS {
        let cell = |text: &str| text.replace('|', "\\|");
        table.push_str(&format!(
            "| `{}` | {}. `{}` |\n",
            function.signature(),
            cell(function.doc),
            cell(function.example)
        ));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide/expressions.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (start, end) = ("<!-- functions -->\n", "<!-- /functions -->");
    let (before, rest) = page.split_once(start).unwrap();
    let (now, after) = rest.split_once(end).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, format!("{before}{start}{table}{end}{after}")).unwrap();
    } else {
        assert_eq!(now, table, "run with UPDATE_DOCS=1");
    }
}

/// What people write who know other languages, and what the help names.
const ELSEWHERE: &[(&str, &str)] = &[
    ("is_not_empty(name)", "`!is_empty("),
    ("not_contains(name, \"x\")", "`!contains("),
    ("does_not_contain(name, \"x\")", "`!contains("),
    ("is_not_null(name)", "`!is_empty("),
    ("has_value(name)", "`!is_empty("),
    ("is_null(name)", "`x == ()`"),
    ("length(name) > 1", "`len("),
    ("LEN(name) > 1", "`len`"),
    ("substring(name, 1) == \"a\"", "`sub_string("),
    ("ifnull(name, \"\") == \"a\"", "`coalesce("),
    ("datediff(day, day) > 1", "`days_between("),
    ("nonsense(name)", "`campanile help expressions`"),
    ("not flag", "`!condition`"),
    ("NOT is_empty(name)", "`!condition`"),
    ("number <> 1", "`!=`"),
    ("number !== 1", "`!=`"),
    ("number === 1", "`==`"),
    ("name LIKE \"%x%\"", "`contains("),
    ("name like \"x\"", "`contains("),
    ("name =~ \"x\"", "`contains("),
    ("number in (1, 2)", "`x in [1, 2]`"),
    ("number in (1)", "`x in [1, 2]`"),
    ("name in (\"a\")", "`x in [1, 2]`"),
    ("number not in [1]", "`!(x in [1, 2])`"),
    ("flag AND number > 1", "`a && b`"),
    ("flag and number > 1", "`a && b`"),
    ("flag OR number > 1", "`a || b`"),
    ("name IS NOT NULL", "`x != ()`"),
    ("name is null", "`x == ()`"),
    ("number BETWEEN 1 AND 5", "`x >= 1 && x <= 5`"),
    ("number > 1 ? 2 : 3", "`if condition { a } else { b }`"),
    ("number ^ 2 > 1", "+ - * / %"),
    ("flag == \"false\"", "`flag == false`"),
    ("\"Yes\" != flag", "`flag != true`"),
    ("flag == 0", "`flag == false`"),
    ("flag == name", "`flag == true` or `flag == false`"),
    ("Web", r#""\"Web\"""#),
    ("New York", r#""\"New York\"""#),
    ("n/a", r#"\"n\""#),
    ("name == Web", r#"\"Web\""#),
];

#[test]
fn words_of_other_languages_are_answered_with_those_of_expressions() {
    let batch = wide(0);
    let wrong = ELSEWHERE.iter().filter_map(|(text, wanted)| {
        let help = match Source::from(*text).bind(batch.schema_ref()) {
            Ok(_) => "no error".to_owned(),
            Err(errors) => {
                errors.into_iter().map(|error| error.help.unwrap_or_default()).collect::<Vec<_>>().join("; ")
            }
        };
        (!help.contains(wanted)).then(|| format!("{text}: {help}"))
    });
    assert_eq!(wrong.collect::<Vec<_>>(), [""; 0]);
}
