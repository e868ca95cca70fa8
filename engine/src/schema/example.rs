//! Examples of the right form, for a value that has a wrong one.

use serde_json::Value;

/// The most forms that are shown.
const FORMS_MAX: usize = 4;
/// How deep a schema is followed; ours are not recursive.
const DEPTH_MAX: usize = 32;

/// Values of the right form for the part of a document at `path`, below what the schema is for: those that the schema gives
/// there, else what stands there in the example of the whole.
pub(super) fn values(root: &Value, path: &str) -> Vec<Value> {
    if path.is_empty() {
        return Vec::new();
    }
    let mut here = vec![root];
    for step in path.split('/').skip(1) {
        here =
            here.into_iter().flat_map(|schema| variants(root, schema, 0)).filter_map(|one| within(one, step)).collect();
    }
    let own = here.iter().flat_map(|schema| variants(root, schema, 0));
    let own = own.filter_map(|schema| schema.get("examples")?.as_array()).find(|examples| !examples.is_empty());
    match own {
        Some(examples) => examples.iter().take(FORMS_MAX).cloned().collect(),
        None => root.pointer(&format!("/examples/0{path}")).into_iter().cloned().collect(),
    }
}

/// A schema, what it refers to, and the forms that it allows.
fn variants<'a>(root: &'a Value, schema: &'a Value, depth: usize) -> Vec<&'a Value> {
    let mut all = vec![schema];
    if depth == DEPTH_MAX {
        return all;
    }
    let reference = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    let referred = reference.and_then(|pointer| root.pointer(pointer));
    let forms = ["anyOf", "oneOf", "allOf"].iter().filter_map(|word| schema[word].as_array()).flatten();
    for inner in referred.into_iter().chain(forms) {
        all.extend(variants(root, inner, depth + 1));
    }
    all
}

fn within<'a>(schema: &'a Value, step: &str) -> Option<&'a Value> {
    let property = schema["properties"].get(step);
    let property = property.or_else(|| schema.get("additionalProperties").filter(|other| other.is_object()));
    property.or_else(|| schema.get("items").filter(|_| step.bytes().all(|byte| byte.is_ascii_digit())))
}
