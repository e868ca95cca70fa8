//! `$metadata`: the model in CSDL.

use std::collections::BTreeMap;

use super::{
    call::Call,
    filter::edm,
    metadata::relationship::{self, OWNER, Relationship},
    model,
};
use crate::{
    data::{Store, Table},
    reply::Reply,
};

const HEAD: &str = concat!(
    "<?xml version=\"1.0\" encoding=\"utf-8\"?>",
    "<edmx:Edmx Version=\"4.0\" xmlns:edmx=\"http://docs.oasis-open.org/odata/ns/edmx\">",
    "<edmx:Reference Uri=\"http://docs.oasis-open.org/odata/odata/v4.0/os/vocabularies/Org.OData.Capabilities.V1.xml\">",
    "<edmx:Include Namespace=\"Org.OData.Capabilities.V1\" Alias=\"Capabilities\" />",
    "<edmx:IncludeAnnotations TermNamespace=\"Org.OData.Capabilities.V1\" /></edmx:Reference>",
    "<edmx:DataServices><Schema Namespace=\"Microsoft.Dynamics.CRM\" Alias=\"mscrm\" ",
    "xmlns=\"http://docs.oasis-open.org/odata/ns/edm\">",
    "<EntityType Name=\"crmbaseentity\" Abstract=\"true\" />",
    "<EntityType Name=\"principal\" BaseType=\"mscrm.crmbaseentity\"><Key><PropertyRef Name=\"ownerid\" /></Key>",
    "<Property Name=\"ownerid\" Type=\"Edm.Guid\" Unicode=\"false\" /></EntityType>",
    "<ComplexType Name=\"BooleanManagedProperty\"><Property Name=\"Value\" Type=\"Edm.Boolean\" Nullable=\"false\" />",
    "<Property Name=\"CanBeChanged\" Type=\"Edm.Boolean\" Nullable=\"false\" />",
    "<Property Name=\"ManagedPropertyLogicalName\" Type=\"Edm.String\" Unicode=\"false\" /></ComplexType>",
    "<ComplexType Name=\"WhoAmIResponse\"><Property Name=\"BusinessUnitId\" Type=\"Edm.Guid\" Nullable=\"false\" />",
    "<Property Name=\"UserId\" Type=\"Edm.Guid\" Nullable=\"false\" />",
    "<Property Name=\"OrganizationId\" Type=\"Edm.Guid\" Nullable=\"false\" /></ComplexType>",
    "<Function Name=\"WhoAmI\"><ReturnType Type=\"mscrm.WhoAmIResponse\" Nullable=\"false\" /></Function>",
);

const TRACKED: &str = "<Annotation Term=\"Org.OData.Capabilities.V1.ChangeTracking\"><Record><PropertyValue Property=\"Supported\" Bool=\"true\" /></Record></Annotation>";

/// Answers `GET /$metadata`; with `?annotations=true` it also says whose changes are tracked.
pub(super) fn answer(store: &Store, call: &Call) -> Reply {
    let annotated = call.option("annotations").as_deref() == Some("true");
    let mut out = String::from(HEAD);
    for table in &store.tables {
        entity_type(store, table, &mut out);
    }
    for (name, lists) in outside(store) {
        let base = if is_principal(name) { "principal" } else { "crmbaseentity" };
        out.push_str(&format!("<EntityType Name=\"{name}\" BaseType=\"mscrm.{base}\">"));
        if !is_principal(name) {
            out.push_str(&format!("<Key><PropertyRef Name=\"{name}id\" /></Key>"));
        }
        out.push_str(&format!("<Property Name=\"{name}id\" Type=\"Edm.Guid\" Unicode=\"false\" />"));
        lists.iter().for_each(|relationship| list(relationship, &mut out));
        out.push_str("</EntityType>");
    }
    out.push_str("<EntityContainer Name=\"System\">");
    for table in &store.tables {
        entity_set(store, table, annotated, &mut out);
    }
    out.push_str("<FunctionImport Name=\"WhoAmI\" Function=\"mscrm.WhoAmI\" />");
    out.push_str("</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>");
    let reply = Reply { body: out.into_bytes(), ..Reply::empty(200) };
    reply.header("Content-Type", "application/xml").header("OData-Version", "4.0")
}

/// Tables that relationships lead to and that the stand-in does not hold, with the relationships.
fn outside(store: &Store) -> BTreeMap<&'static str, Vec<Relationship>> {
    let mut outside = BTreeMap::from([("team", Vec::new())]);
    for relationship in relationship::all(store).filter(|relationship| relationship.target != OWNER) {
        if store.table(relationship.target).is_none() {
            outside.entry(relationship.target).or_insert_with(Vec::new).push(relationship);
        }
    }
    outside
}

/// Users and teams, which own records and share the key of an owner.
fn is_principal(table: &str) -> bool {
    matches!(table, "systemuser" | "team")
}

fn entity_type(store: &Store, table: &Table, out: &mut String) {
    let shape = &table.shape;
    let base = if is_principal(shape.name) { "principal" } else { "crmbaseentity" };
    out.push_str(&format!("<EntityType Name=\"{}\" BaseType=\"mscrm.{base}\">", shape.name));
    if !is_principal(shape.name) {
        out.push_str(&format!("<Key><PropertyRef Name=\"{}\" /></Key>", shape.id_field));
    }
    for (place, field) in table.fields.iter().enumerate().filter(|(_, field)| field.kind.is_readable()) {
        let (name, kind) = (model::property_name(table, place), edm(&field.kind));
        let scale = if kind == "Edm.Decimal" { " Scale=\"Variable\"" } else { "" };
        out.push_str(&format!("<Property Name=\"{name}\" Type=\"{kind}\"{scale} Unicode=\"false\" />"));
    }
    for Relationship { name, attribute, navigation, target, target_attribute, .. } in relationship::of_table(table) {
        let (target, partner) = match target {
            OWNER => ("principal", String::new()),
            other => (other, format!(" Partner=\"{name}\"")),
        };
        out.push_str(&format!(
            "<NavigationProperty Name=\"{navigation}\" Type=\"mscrm.{target}\"{partner}><ReferentialConstraint Property=\"_{attribute}_value\" ReferencedProperty=\"{target_attribute}\" /></NavigationProperty>"
        ));
    }
    relationship::to_table(store, table).for_each(|relationship| list(&relationship, out));
    out.push_str("</EntityType>");
}

/// The records that refer to one.
fn list(relationship: &Relationship, out: &mut String) {
    let Relationship { name, table, navigation, .. } = relationship;
    out.push_str(&format!(
        "<NavigationProperty Name=\"{name}\" Type=\"Collection(mscrm.{table})\" Partner=\"{navigation}\" />"
    ));
}

fn entity_set(store: &Store, table: &Table, annotated: bool, out: &mut String) {
    let shape = &table.shape;
    out.push_str(&format!("<EntitySet Name=\"{}\" EntityType=\"Microsoft.Dynamics.CRM.{}\">", shape.set, shape.name));
    let forth = relationship::of_table(table).into_iter().map(|way| (way.navigation, way.target));
    let back = relationship::to_table(store, table).map(|way| (way.name, way.table));
    for (path, target) in forth.chain(back) {
        if let Some(target) = store.table(target) {
            out.push_str(&format!("<NavigationPropertyBinding Path=\"{path}\" Target=\"{}\" />", target.shape.set));
        }
    }
    if annotated && table.tracks_changes {
        out.push_str(TRACKED);
    }
    out.push_str("</EntitySet>");
}
