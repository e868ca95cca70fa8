//! Scripts: what they may, and that they end.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use engine::script::{Functions, Host, Level, Limits, Outcome, Script, ScriptError, ScriptErrorKind, check};
use jiff::Timestamp;
use serde_json::{Value, json};

#[derive(Default)]
struct Sandbox {
    options: Mutex<Vec<(String, String)>>,
    log: Mutex<Vec<(Level, String)>>,
}

impl Host for Sandbox {
    fn option(&self, name: &str) -> Result<Option<String>, String> {
        let options = self.options.lock().unwrap();
        Ok(options.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.clone()))
    }

    fn set_option(&self, name: &str, value: &str) -> Result<(), String> {
        if name == "LOCKED" {
            return Err("the option LOCKED cannot be set".to_owned());
        }
        self.options.lock().unwrap().push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    fn log(&self, level: Level, message: &str) {
        self.log.lock().unwrap().push((level, message.to_owned()));
    }

    fn now(&self) -> Timestamp {
        "2026-03-03T10:00:00Z".parse().unwrap()
    }
}

fn limits() -> Limits {
    Limits { operations: 1_000_000, wall_ms: 500, ..Limits::default() }
}

fn run_in(host: &Arc<Sandbox>, text: &str, vars: Value, library: &[(&str, &str)]) -> Result<Outcome, ScriptError> {
    let library: Vec<_> = library.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
    let script = Script::compile(text, &library).map_err(|e| {
        let (line, column) = e.line_column(text);
        ScriptError { message: e.message, line, column, kind: ScriptErrorKind::Other }
    })?;
    let object = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let (vars, instance, task) = (object(&vars["vars"]), object(&vars["instance"]), object(&vars["task"]));
    script.run(host.clone(), vars, instance, task, &limits(), Arc::new(AtomicBool::new(false)))
}

fn run(text: &str, vars: Value) -> Result<Outcome, ScriptError> {
    run_in(&Arc::default(), text, vars, &[])
}

#[test]
fn a_script_reads_and_sets_variables_and_options_and_logs() {
    let host = Arc::new(Sandbox::default());
    let text = r#"
        vars.x = 5;
        instance.vars.total += vars.n;
        task.vars.list = [1, 2.5, "a", ()];
        if vars.n > 3 { log_warning(`n is ${vars.n}`) }
        set_option(vars.crmOptionName, vars.crmEndDate);
        set_option("SEEN", now());
        vars.read = option("LASTIMPORT") ?? "none";
        vars.day = add_days(date("2012-10-31"), 1);
        vars.price = 0.1 + 0.2;
        vars.sum = 0;
        for i in 0..4 { vars.sum += i }
        vars.mail = vars.mail.trim().lower();
    "#;
    let vars = json!({"vars": {"n": 4, "crmOptionName": "LASTIMPORT", "crmEndDate": "2026/03/03 10:00:00", "mail": " A@B.C "},
        "instance": {"total": 38}});
    let outcome = run_in(&host, text, vars, &[]).unwrap();
    let wanted = json!({"crmEndDate": "2026/03/03 10:00:00", "crmOptionName": "LASTIMPORT", "day": "2012-11-01", "mail": "a@b.c",
        "n": 4, "price": 0.3, "read": "2026/03/03 10:00:00", "sum": 6, "x": 5});
    assert_eq!(Value::Object(outcome.vars), wanted);
    assert_eq!(Value::Object(outcome.instance), json!({"total": 42}));
    assert_eq!(Value::Object(outcome.task), json!({"list": [1, 2.5, "a", null]}));
    let set = [("LASTIMPORT", "2026/03/03 10:00:00"), ("SEEN", "2026/03/03 10:00:00")];
    assert_eq!(*host.options.lock().unwrap(), set.map(|(n, v)| (n.to_owned(), v.to_owned())));
    assert_eq!(*host.log.lock().unwrap(), [(Level::Warning, "n is 4".to_owned())]);
}

#[test]
fn a_script_that_fails_says_where_and_what() {
    let library = [("mail", "fn domain(m) { after(m, \"@\") }\nfn bad(x) {\n  x / 0\n}")];
    let told = |text: &str| {
        let Err(error) = run_in(&Arc::default(), text, json!({}), &library) else {
            return "no error".to_owned();
        };
        format!("{}:{} {:?} {}", error.line, error.column, error.kind, error.message)
    };
    let all = [
        "vars.x = 1;\nthrow \"no records\"",
        "log_error(\"stop here\"); vars.x = 1",
        "try { log_error(\"stop here\") } catch { }",
        "vars.x = 1;\n  vars.y = 5 / 0;",
        "vars.total += 1",
        "vars.d = domain(\"a@b\"); bad(3)",
        "fn own(x) {\n  throw x\n}\nown(7)",
        "set_option(\"LOCKED\", 1)",
        "vars = 5",
        "fn f() { 1 }\nvars.f = Fn(\"f\")",
        "vars.f = |x| x + 1",
        "let x = ;",
        "x + 1",
        "fn f() { vars.x }\nf()",
        "lowr(\"A\")",
        "vars.x = \"a\" * 2",
        "nothing(1)",
        "vars.x = 'ab'",
    ]
    .map(|text| format!("{}\n  {}\n", text.replace('\n', "⏎"), told(text)))
    .concat();
    insta::assert_snapshot!(all, @r##"
    vars.x = 1;⏎throw "no records"
      2:1 Thrown no records
    log_error("stop here"); vars.x = 1
      1:1 Thrown stop here
    try { log_error("stop here") } catch { }
      1:7 Thrown stop here
    vars.x = 1;⏎  vars.y = 5 / 0;
      2:14 Other division by zero: 5 / 0
    vars.total += 1
      1:12 Unset `vars.total` is not set, or null; begin with `vars.total = vars.total ?? 0`
    vars.d = domain("a@b"); bad(3)
      1:25 Other in shared script `mail`: division by zero: 3 / 0
    fn own(x) {⏎  throw x⏎}⏎own(7)
      2:3 Thrown 7
    set_option("LOCKED", 1)
      1:1 Host the option LOCKED cannot be set
    vars = 5
      1:1 Other vars was replaced; set vars.x instead
    fn f() { 1 }⏎vars.f = Fn("f")
      1:1 Other vars.f cannot be kept: a value of type Fn cannot be used here
    vars.f = |x| x + 1
      1:10 Other unexpected '|'
    let x = ;
      1:9 Other unexpected ';'
    x + 1
      1:1 Other there is no variable `x`
    fn f() { vars.x }⏎f()
      1:10 Other variable not found: vars
    lowr("A")
      1:1 Other there is no function `lowr`; did you mean `lower`?
    vars.x = "a" * 2
      1:14 Other `*` does not take (&str | ImmutableString | String, i64)
    nothing(1)
      1:1 Other there is no function `nothing` of (i64)
    vars.x = 'ab'
      1:10 Other invalid character: 'ab'
    "##);
}

#[test]
fn what_is_not_set_ends_a_script_and_is_named_unless_a_default_is_given() {
    let vars = json!({"vars": {"list": [1], "m": {"a": 1}}, "instance": {}, "task": {}});
    let failed = |text: &str| {
        let error = run(text, vars.clone()).unwrap_err();
        assert_eq!(error.kind, ScriptErrorKind::Unset, "{text}: {error}");
        (error.column, error.message)
    };
    for (text, column, name) in [
        ("vars.y = vars.x", 15, "`vars.x` is not set"),
        ("instance.vars.total = instance.vars.total + 1", 37, "`instance.vars.total` is not set"),
        ("vars.y = vars[\"x\"]", 15, "`x` is not set"),
        ("let name = \"x\"; vars.y = vars[name] ", 31, "`x` is not set"),
        ("vars.y = vars.m.b", 17, "`vars.m.b` is not set"),
        ("vars.total += 1", 12, "`vars.total` is not set, or null"),
        ("vars.y = vars.x.trim() ?? \"\"", 15, "`vars.x` is not set"),
        ("vars.y = option(\"NONE\")", 10, "option(\"NONE\") is not set"),
    ] {
        let (at, message) = failed(text);
        assert!(message.starts_with(name), "{text}: {message}");
        assert_eq!(at, column, "{text}");
    }
    let text = r#"
        vars.a = vars.x ?? 5;
        instance.vars.total = (instance.vars.total ?? 0) + 1;
        vars.b = coalesce(vars.x, vars.y, "d");
        vars.c = option("NONE", 7);
        vars.d = option("NONE") ?? "e";
        vars.e = has_option("NONE");
        vars.f = vars.m.b ?? 2;
        let m = #{}; for k in ["p", "q", "p"] { m[k] = (m[k] ?? 0) + 1 }
        vars.g = m;
        vars.h = `<${vars.x ?? "-"}>`;
        fn of(v) { v.x ?? 9 }
        vars.i = of(vars);
    "#;
    let outcome = run(text, json!({"vars": {"m": {"a": 1}}})).unwrap();
    let wanted = json!({"a": 5, "b": "d", "c": 7, "d": "e", "e": false, "f": 2, "g": {"p": 2, "q": 1}, "h": "<->", "i": 9,
        "m": {"a": 1}});
    assert_eq!(Value::Object(outcome.vars), wanted);
    assert_eq!(Value::Object(outcome.instance), json!({"total": 1}));
}

/// Each at its place, and none that only follows from another.
#[test]
fn a_check_tells_all_that_is_wrong_with_a_script() {
    let told = |text: &str| {
        let checked =
            check(text, &Functions::new(&[("s".to_owned(), "fn domain(m) { m }".to_owned())], &Limits::default()));
        let place = |error: &engine::expr::ExprError| error.line_column(text);
        checked.errors.iter().map(|e| format!("{}:{} {}", place(e).0, place(e).1, e.message)).collect::<Vec<_>>()
    };
    let text = "let a = ;\nvars.x = lowr(\"A\");\nvars.y = vars.x + nothing;\nif vars.x = 1 { vars.z = 1 }\nlet b = a + other;\nb.foo(domain(1, 2));\nwhat(b)";
    assert_eq!(
        told(text),
        [
            "1:9 unexpected ';'",
            "3:19 there is no variable `nothing`",
            "4:11 possibly a typo of '=='?",
            "5:13 there is no variable `other`",
            "2:10 there is no function `lowr`",
            "6:3 there is no function `foo`",
            "6:7 `domain` takes 1 values, not 2",
            "7:1 there is no function `what`",
        ]
    );
    let sound = "fn own(x) { domain(x).len() } let l = [3, 1]; l.sort(); l.push(own(\"a\")); let m = #{a: 1}; m.keys().filter(Fn(\"own\"));\n\
        try { throw \"x\" } catch (e) { print(e) } for i in 0..l.len() { log_info(type_of(i)) } if \"a\" in m { debug(m.len()) }";
    assert_eq!(told(sound), Vec::<String>::new());
    assert_eq!(told("vars.x = (1;\nvars.y = lowr(1)").len(), 1, "what was opened hides where the next one begins");
}

#[test]
fn a_check_tells_what_a_script_reads_and_sets() {
    let found = |text: &str| {
        let checked = check(text, &Functions::default());
        assert_eq!(checked.errors, [], "{text}");
        let reads: Vec<String> = checked.reads.iter().map(|(variable, _)| variable.to_string()).collect();
        let sets: Vec<String> = checked.sets.iter().map(ToString::to_string).collect();
        (reads.join(" "), sets.join(" "), checked.sets_any)
    };
    let is = |reads: &str, sets: &str, any: bool| (reads.to_owned(), sets.to_owned(), any);
    assert_eq!(found("vars.x = vars.y; instance.vars.n = 1;"), is("vars.y", "vars.x instance.vars.n", false));
    assert_eq!(found("vars.x = 1; log_info(vars.x)"), is("", "vars.x", false));
    assert_eq!(found("vars.total = vars.total + 1"), is("vars.total", "vars.total", false));
    assert_eq!(found("vars.total += 1"), is("vars.total", "vars.total", false));
    assert_eq!(found("vars.x ?? 1; coalesce(vars.y, vars.z)"), is("vars.z", "", false));
    assert_eq!(found("vars[\"a b\"] = vars[\"c\"]"), is("vars.c", "vars.a b", false));
    assert_eq!(found("vars.m.a = 1; let m = #{}; m[vars.k].x = 2"), is("vars.m vars.k", "", false));
    assert_eq!(found("for n in vars.keys() { log_info(vars[n]) }"), is("", "", false));
    assert_eq!(found("let n = \"x\"; vars[n] = 1"), is("", "", true));
    assert_eq!(found("vars = #{}"), is("", "", true));
    assert_eq!(found("vars.mixin(#{a: 1})"), is("", "", true));
}

#[test]
fn attacks_are_refused_before_the_deadline_and_a_tenth_of_a_second() {
    let deep = "(".repeat(5000);
    for (text, wanted) in [
        ("loop { }", "operations"),
        ("fn f(n) { f(n + 1) } f(0)", "callDepth"),
        ("let s = \"x\"; loop { s += s; }", "stringBytes"),
        ("let s = \"x\"; loop { s = `${s}${s}`; }", "stringBytes"),
        ("let s = \"xxxxxxxx\"; loop { s = replace(s, \"x\", s); }", "stringBytes"),
        ("let s = \"x\"; loop { s = concat(s, s, s, s); }", "stringBytes"),
        ("let a = []; loop { a.push(a.len()); }", ""),
        ("let a = []; a.pad(100000000, 0);", "arrayItems"),
        ("let a = [1]; loop { a[0] = a; }", ""),
        ("let m = #{}; let i = 0; loop { m[`k${i}`] = i; i += 1; }", ""),
        ("blob(1000000000)", "blob"),
        (deep.as_str(), "deep"),
        ("sleep(5)", "sleep"),
        ("eval(\"1\")", "eval"),
        ("import \"/etc/passwd\" as p;", "import"),
        ("timestamp()", "timestamp"),
        ("let f = Fn(\"abs\"); loop { f = f.curry(f); }", ""),
        ("let f = || 0; loop { let h = f; f = || h; }", ""),
        ("let s = \"a\"; for i in 0..15 { s += s; } loop { contains(s, \"b\"); }", ""),
        ("fn same(x) { x } let s = []; loop { s = s.map(Fn(\"same\")); s += [1]; s.sort(); }", ""),
        ("loop { try { throw 1 } catch { } }", ""),
        ("fn f(n) { let s = \"x\"; for i in 0..15 { s += s; } f(n + 1) } f(0)", "callDepth"),
        ("for i in 0..9223372036854775807 { }", "operations"),
    ] {
        // Other tests take the processor too; what counts is how fast it can be.
        let attempt = || {
            let begun = Instant::now();
            (run(text, json!({})).unwrap_err(), begun.elapsed())
        };
        let mut attempts = (0..5).map(|_| attempt());
        let (error, took) = attempts.find(|(_, took)| *took < Duration::from_millis(600)).unwrap_or_else(attempt);
        assert!(took < Duration::from_millis(600), "{text:.60} took {took:?}");
        assert!(format!("{} {:?}", error.message, error.kind).contains(wanted), "{text:.60}: {error:?}");
    }
}

#[test]
fn a_script_writes_only_so_much_to_the_log() {
    let host = Arc::new(Sandbox::default());
    run_in(&host, "for i in 0..8000 { print(\"0123456789\") }", json!({}), &[]).unwrap();
    let log = host.log.lock().unwrap();
    assert!(log.iter().map(|(_, m)| m.len()).sum::<usize>() < 66_000);
    assert_eq!(log.last().unwrap().0, Level::Warning);
}

#[test]
fn a_stopped_run_stops_its_script() {
    let script = Script::compile("loop { }", &[]).unwrap();
    let stopped = Arc::new(AtomicBool::new(true));
    let (host, none) = (Arc::new(Sandbox::default()), serde_json::Map::new());
    let error = script.run(host, none.clone(), none.clone(), none, &Limits::default(), stopped).unwrap_err();
    assert_eq!(error.kind, ScriptErrorKind::Stopped);
}

#[test]
fn a_script_does_the_same_again() {
    let text = "vars.m = #{b: 2, a: 1, c: [3, 1, 2]}; vars.m.c.sort(); vars.t = now(); for k in vars.m.keys() { vars.k = `${vars.k ?? \"\"}${k}` }";
    let first = run(text, json!({})).unwrap();
    assert!((0..5).all(|_| run(text, json!({})).unwrap() == first));
    assert_eq!(
        serde_json::to_value(first.vars).unwrap(),
        json!({"k": "abc", "m": {"a": 1, "b": 2, "c": [1, 2, 3]}, "t": "2026-03-03T10:00:00Z"})
    );
}
