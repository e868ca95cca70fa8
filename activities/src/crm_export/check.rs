//! What is wrong with the settings of an export, and what is risky.

mod constant;

use std::collections::HashMap;

use engine::activity::Columns;
use engine::flow::FlowCx;
use engine::outside::crm::{FieldKind, Object, ObjectField, Operation, System};
use engine::problem::suggestion;

use super::identity::keys;
use super::request::{internal_target, lookup_of_type};
use super::{CrmExport, Mapped, check_volume, values};
use crate::file_extract::place;
use crate::near;

impl CrmExport {
    /// What it does: as its author says, or an update where the key is mapped.
    pub(super) fn what(&self, object: &Object) -> Option<Operation> {
        let keyed = !self.key.is_empty() || self.set.contains_key(&object.id);
        self.operation.map(super::ExportOperation::operation).or(keyed.then_some(Operation::Update))
    }

    /// The fields by which records are found.
    pub(super) fn key(&self, object: &Object) -> Vec<String> {
        match self.key.is_empty() && self.set.contains_key(&object.id) {
            true => vec![object.id.clone()],
            false => self.key.clone(),
        }
    }

    /// Reports all that is wrong.
    pub(super) fn check(&self, input: &Columns, cx: &mut FlowCx<'_>) {
        if self.set.is_empty() {
            let help = "write \"set\": { \"<field of the CRM>\": \"<column of the record>\" }".to_owned();
            cx.problem("/set", "nothing-set", "no field is written", Some(help));
        }
        if let Some(path) = &self.rejects_file
            && let Err((message, help)) = place::check(path)
        {
            cx.problem("/rejectsFile", "bad-path", message, Some(help));
        }
        check_volume(self.volume.as_ref(), cx);
        for (number, source) in self.id_from.iter().flat_map(super::IdFrom::sources).enumerate() {
            let pointer = match self.id_from {
                Some(super::IdFrom::Several(_)) => format!("/idFrom/{number}"),
                _ => "/idFrom".to_owned(),
            };
            cx.expression(&pointer, &source, input, None);
        }
        let system = cx.system(&self.account);
        let Some(object) = cx.object(&self.account, &self.object) else {
            for (name, mapped) in &self.set {
                cx.expression(&mapped.pointer(name), mapped.parts().0, input, None);
            }
            return;
        };
        let Some(operation) = self.what(&object) else {
            let message = "every record would be made anew in the CRM, since neither a key nor an insert is said";
            let help = format!("map {} in \"set\", or write \"operation\": \"insert\"", object.id);
            cx.problem("", "insert-not-said", message, Some(help));
            let object = &self.with_related(&object, cx);
            self.check_ways(object, cx);
            for (name, mapped) in &self.set {
                self.check_field(object, None, name, mapped, input, cx);
            }
            return;
        };
        let object = &self.with_related(&object, cx);
        self.check_ways(object, cx);
        for (name, mapped) in &self.set {
            self.check_field(object, Some(operation), name, mapped, input, cx);
        }
        match operation {
            Operation::Insert => self.check_insert(object, system, input, cx),
            _ => self.check_key(object, system, cx),
        }
        self.check_required(object, operation, cx);
        self.check_compare(object, operation, cx);
    }

    /// The object with the fields of related records that are set, as far as they are known.
    fn with_related(&self, object: &Object, cx: &mut FlowCx<'_>) -> Object {
        let pointer = |path: &str| format!("/set/{}", engine::document::escape(path));
        let known = |path: String| cx.field(&pointer(&path), &self.account, &self.object, &path);
        object.with_fields(self.related().into_iter().filter_map(known).collect::<Vec<_>>())
    }

    /// A lookup is set by itself, or by one external id of the record that it leads to.
    fn check_ways(&self, object: &Object, cx: &mut FlowCx<'_>) {
        let lookup = |name: &str| match name.split_once('.') {
            Some((way, _)) => {
                let leads = |field: &&ObjectField| field.targets.iter().any(|t| t.path.eq_ignore_ascii_case(way));
                object.fields.values().find(leads).map(|field| field.name.clone())
            }
            None => Some(name.to_owned()),
        };
        let mut set_by: HashMap<String, &str> = HashMap::new();
        for name in self.set.keys() {
            if let Some(before) = lookup(name).and_then(|lookup| set_by.insert(lookup, name)) {
                let pointer = format!("/set/{}", engine::document::escape(name));
                let message = format!("{before} and {name} set the same lookup");
                cx.problem(&pointer, "lookup-set-twice", message, Some("leave one of them out".to_owned()));
            }
        }
    }

    fn check_field(
        &self,
        object: &Object,
        operation: Option<Operation>,
        name: &str,
        mapped: &Mapped,
        input: &Columns,
        cx: &mut FlowCx<'_>,
    ) {
        let (source, conversion, target) = mapped.parts();
        let pointer = format!("/set/{}", engine::document::escape(name));
        let bound = cx.expression(&mapped.pointer(name), source, input, None);
        if let Some(lookup) = lookup_of_type(object, name) {
            if !self.set.contains_key(&lookup.name) {
                let help = format!("set {} too, or leave {name} out", lookup.name);
                cx.problem(&pointer, "type-without-lookup", format!("{} is not set", lookup.name), Some(help));
            }
            return;
        }
        let Some(field) = object.fields.get(name) else {
            if name.contains('.') {
                // What is wrong with it is told, or that it could not be checked.
                return;
            }
            let help = near::field(name, object, &self.account, cx.suggestions);
            cx.problem(&pointer, "unknown-field", format!("{} has no field \"{name}\"", object.name), Some(help));
            return;
        };
        if let Some(operation) = operation {
            self.check_writable(object, operation, field, &pointer, cx);
        }
        self.check_target(field, target, &pointer, cx);
        if let Some(why) = conversion.refuses(field) {
            cx.problem(&format!("{pointer}/conversion"), "conversion", why, None);
            return;
        }
        let Some(bound) = bound else { return };
        match values::fits(&bound.ty(), field.kind, conversion) {
            Ok(()) => constant::check(&bound, field, conversion, &mapped.pointer(name), cx),
            Err(instead) => {
                let message = format!("this is {}, but {name} takes {}", bound.ty(), values::named(field.kind));
                cx.problem(&mapped.pointer(name), "wrong-type", message, instead.map(|write| format!("write {write}")));
            }
        }
    }

    fn check_writable(
        &self,
        object: &Object,
        operation: Operation,
        field: &ObjectField,
        pointer: &str,
        cx: &mut FlowCx<'_>,
    ) {
        let name = &field.name;
        if operation != Operation::Insert && self.key(object).contains(name) {
            return;
        }
        let message = match operation {
            _ if !field.creatable && !field.updatable => format!("{name} cannot be written"),
            Operation::Insert if *name == object.id => match cx.system(&self.account) {
                Some(system) if !system.client_ids => format!("{} gives new records their {name} itself", system.name),
                _ => return,
            },
            Operation::Insert | Operation::Upsert if !field.creatable => {
                format!("{name} cannot be set when a record is made")
            }
            Operation::Update | Operation::Upsert if !field.updatable => {
                format!("{name} cannot be changed once a record is there")
            }
            _ => return,
        };
        let help = match &field.instead {
            Some(instead) => instead,
            None if name.contains('.') => {
                "set the lookup itself; in Salesforce an external id of the record that it leads to does as well"
            }
            None => "leave it out",
        };
        cx.problem(pointer, "read-only-field", message, Some(help.to_owned()));
    }

    fn check_target(&self, field: &ObjectField, target: Option<&str>, pointer: &str, cx: &mut FlowCx<'_>) {
        let names = || field.targets.iter().map(|target| target.name.as_str());
        let is_said = self.set.contains_key(&format!("{}{}", field.name, super::request::TYPE_SUFFIX));
        match target {
            Some(_) if field.kind != FieldKind::Lookup => {
                let message = format!("{} points to nothing, so it has no target", field.name);
                cx.problem(&format!("{pointer}/target"), "lookup-target", message, None);
            }
            Some(target) if !field.targets.is_empty() && internal_target(field, target).is_none() => {
                let message = format!("{} cannot point to \"{target}\"", field.name);
                let help = suggestion(target, names().collect::<Vec<_>>());
                cx.problem(&format!("{pointer}/target"), "lookup-target", message, help);
            }
            None if field.targets.len() > 1 && !is_said => {
                let names = names().collect::<Vec<_>>().join(", ");
                let message = format!("{} may point to several objects, and it is not said to which", field.name);
                let help = format!("write {{ \"value\": …, \"target\": \"…\" }} with one of {names}");
                cx.problem(pointer, "lookup-target", message, Some(help));
            }
            _ => {}
        }
    }

    fn check_insert(&self, object: &Object, system: Option<&'static System>, input: &Columns, cx: &mut FlowCx<'_>) {
        if !self.key.is_empty() {
            let help = "leave \"key\" out, or use \"upsert\"".to_owned();
            cx.problem("/key", "key-of-insert", "an insert looks for no existing record, so it has no key", Some(help));
        }
        let Some(system) = system else { return };
        if system.client_ids {
            if self.id_from.is_some() && self.set.contains_key(&object.id) {
                let message = format!("{} is set, so its value is not made of anything else", object.id);
                cx.problem("/idFrom", "id-from-unused", message, Some("leave one of them out".to_owned()));
            }
            let is_named = self.id_from.is_some() || self.set.contains_key(&object.id);
            if let Some(columns) = input.known().filter(|_| !is_named)
                && keys(columns).next().is_none()
            {
                let message = "nothing names these records, so each run makes them anew, also one that begins again";
                let help = "say what makes a record the same one with \"idFrom\"".to_owned();
                cx.risk("/operation", "insert-again", message, Some(help));
            }
            return;
        }
        if self.id_from.is_some() {
            let message = format!("{} gives new records their ids itself", system.name);
            let help = "leave \"idFrom\" out; for a key of your own use \"upsert\" with an external id".to_owned();
            cx.problem("/idFrom", "id-from-unused", message, Some(help));
        }
        let message = format!(
            "nothing names these records, so each run makes them anew; and where a connection breaks while they are \
             inserted, {} does not tell which it made: those of the batch leave by inDoubt and are not sent again",
            system.name
        );
        let help = "use \"operation\": \"upsert\" with a unique external id as \"key\"".to_owned();
        cx.risk("/operation", "insert-in-doubt", message, Some(help));
    }

    /// Fields without which the CRM makes no record. One that is mapped to null is left to what the CRM does by itself.
    fn check_required(&self, object: &Object, operation: Operation, cx: &mut FlowCx<'_>) {
        let leads = |field: &ObjectField, way: &str| field.targets.iter().any(|t| t.path.eq_ignore_ascii_case(way));
        let is_set = |field: &ObjectField| {
            let by_related = |name: &String| name.split_once('.').is_some_and(|(way, _)| leads(field, way));
            self.set.contains_key(&field.name) || self.set.keys().any(by_related)
        };
        let needed = object.fields.values().filter(|field| field.required && field.name != object.id);
        let missing: Vec<&str> = needed.filter(|field| !is_set(field)).map(|field| field.name.as_str()).collect();
        if missing.is_empty() || self.set.is_empty() {
            return;
        }
        let missing = missing.join(", ");
        let help = format!("set {missing}; where a flow or plug-in of the CRM fills it in, map it to null: \"()\"");
        if operation == Operation::Insert {
            let message = format!("{} takes no new record without {missing}", object.name);
            cx.problem("/set", "required-field-not-set", message, Some(help));
        } else if operation == Operation::Upsert {
            let message = format!(
                "records that are not there yet are rejects, since {} takes none without {missing}",
                object.name
            );
            cx.risk("/set", "required-field-not-set", message, Some(help));
        }
    }

    fn check_key(&self, object: &Object, system: Option<&'static System>, cx: &mut FlowCx<'_>) {
        if self.id_from.is_some() {
            let message = "records are found by their key, so no ids are chosen";
            cx.problem("/idFrom", "id-from-unused", message, Some("leave \"idFrom\" out".to_owned()));
        }
        let key = self.key(object);
        if key.is_empty() {
            let help = format!("map {} in \"set\", or name an alternate key as \"key\"", object.id);
            cx.problem("", "no-key", "it is not said by which key existing records are found", Some(help));
            return;
        }
        for (number, field) in self.key.iter().enumerate() {
            if !self.set.contains_key(field) {
                let help = format!("write \"{field}\": \"<column of the record>\" in \"set\"");
                let message = format!("the key field \"{field}\" is not among those that are set");
                cx.problem(&format!("/key/{number}"), "key-not-set", message, Some(help));
            }
        }
        if key == [object.id.clone()] {
            return;
        }
        match object.key(&key) {
            None => {
                let usable = object.keys.iter().filter(|key| key.unusable.is_none());
                let names = usable.map(|key| format!("[{}]", key.fields.join(", ")));
                let all: Vec<String> = std::iter::once(format!("[{}]", object.id)).chain(names).collect();
                let mut help = format!("there are: {}", all.join(", "));
                if let Some(way) = system.map(|system| system.new_key).filter(|way| !way.is_empty()) {
                    help = format!("{help}; {way}");
                }
                let message = format!("{} has no key of {}", object.name, key.join(", "));
                cx.problem("/key", "unknown-key-fields", message, Some(help));
            }
            Some(found) => {
                if let Some(why) = &found.unusable {
                    let message = format!("the key {} cannot be relied on: {why}", found.name);
                    let help = "do so in the CRM, or use another key".to_owned();
                    cx.problem("/key", "key-not-usable", message, Some(help));
                }
            }
        }
    }

    fn check_compare(&self, object: &Object, operation: Operation, cx: &mut FlowCx<'_>) {
        if !self.compare {
            return;
        }
        let key = self.key(object);
        if operation == Operation::Insert || key.len() != 1 {
            let message = "only records that are found by one field can be compared with what is there";
            cx.problem("/compare", "compare-key", message, Some("leave \"compare\" out".to_owned()));
        }
        for name in self.set.keys() {
            if object.fields.get(name).is_some_and(|field| !field.readable) {
                let message = format!("{name} cannot be read, so it cannot be compared");
                cx.problem("/compare", "unreadable-field", message, Some("leave \"compare\" out".to_owned()));
            }
        }
    }
}
