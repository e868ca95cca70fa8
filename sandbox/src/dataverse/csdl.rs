//! `$metadata`: the model in CSDL.

use std::fmt::Write;

use super::{call::Call, filter::edm, metadata, model};
use crate::{
    data::{Store, Table},
    reply::Reply,
};

/// Answers `GET /$metadata`; with `?annotations=true` it tells as well whose changes are tracked.
pub(super) fn answer(store: &Store, call: &Call) -> Reply {
    let annotated = call.option("annotations").as_deref() == Some("true");
    let mut out = String::from(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><edmx:Edmx Version=\"4.0\" xmlns:edmx=\"http://docs.oasis-open.org/odata/ns/edmx\"><edmx:DataServices><Schema Namespace=\"Microsoft.Dynamics.CRM\" Alias=\"mscrm\" xmlns=\"http://docs.oasis-open.org/odata/ns/edm\"><EntityType Name=\"crmbaseentity\" Abstract=\"true\" />",
    );
    for table in &store.tables {
        entity_type(table, &mut out);
    }
    out.push_str("<EntityContainer Name=\"System\">");
    for table in &store.tables {
        // Writing to memory cannot fail.
        let _written = write!(
            out,
            "<EntitySet Name=\"{}\" EntityType=\"Microsoft.Dynamics.CRM.{}\"",
            table.shape.set, table.shape.name
        )
        .is_ok();
        out.push_str(if annotated && table.tracks_changes {
            "><Annotation Term=\"Org.OData.Capabilities.V1.ChangeTracking\"><Record><PropertyValue Property=\"Supported\" Bool=\"true\" /></Record></Annotation></EntitySet>"
        } else {
            " />"
        });
    }
    out.push_str("</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>");
    let reply = Reply { body: out.into_bytes(), ..Reply::empty(200) };
    reply.header("Content-Type", "application/xml").header("OData-Version", "4.0")
}

fn entity_type(table: &Table, out: &mut String) {
    let shape = &table.shape;
    out.push_str(&format!(
        "<EntityType Name=\"{}\" BaseType=\"mscrm.crmbaseentity\"><Key><PropertyRef Name=\"{}\" /></Key>",
        shape.name, shape.id_field
    ));
    for (place, field) in table.fields.iter().enumerate().filter(|(_, field)| field.kind.is_readable()) {
        let name = model::property_name(table, place);
        out.push_str(&format!("<Property Name=\"{name}\" Type=\"{}\" Unicode=\"false\" />", edm(&field.kind)));
    }
    for relationship in metadata::many_to_one(table) {
        let text = |name: &str| relationship[name].as_str().unwrap_or_default();
        out.push_str(&format!(
            "<NavigationProperty Name=\"{}\" Type=\"mscrm.{}\"><ReferentialConstraint Property=\"_{}_value\" ReferencedProperty=\"{}\" /></NavigationProperty>",
            text("ReferencingEntityNavigationPropertyName"),
            text("ReferencedEntity"),
            text("ReferencingAttribute"),
            text("ReferencedAttribute")
        ));
    }
    out.push_str("</EntityType>");
}
