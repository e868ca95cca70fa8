//! Relationships: a lookup, seen from the table that has it and from the one that it leads to.

use serde_json::{Map, Value as Json, json};

use super::{entity::managed, label, metadata_id};
use crate::data::{FieldKind, LookupRole, Store, Table};

/// The table that all owners share: users and teams. Lookups lead to it by one way.
pub(crate) const OWNER: &str = "owner";

/// Names that the product gave its own relationships: table, lookup, target, name.
const NAMES: &[(&str, &str, &str, &str)] = &[
    ("contact", "parentcustomerid", "account", "contact_customer_accounts"),
    ("contact", "parentcustomerid", "contact", "contact_customer_contacts"),
    ("contact", "createdby", "systemuser", "lk_contactbase_createdby"),
    ("contact", "modifiedby", "systemuser", "lk_contactbase_modifiedby"),
    ("contact", "owninguser", "systemuser", "contact_owning_user"),
    ("contact", "ownerid", OWNER, "owner_contacts"),
    ("contact", "transactioncurrencyid", "transactioncurrency", "transactioncurrency_contact"),
    ("account", "createdby", "systemuser", "lk_accountbase_createdby"),
    ("account", "modifiedby", "systemuser", "lk_accountbase_modifiedby"),
    ("account", "owninguser", "systemuser", "user_accounts"),
    ("account", "ownerid", OWNER, "owner_accounts"),
    ("account", "transactioncurrencyid", "transactioncurrency", "transactioncurrency_account"),
    ("account", "primarycontactid", "contact", "account_primary_contact"),
    ("account", "parentaccountid", "account", "account_parent_account"),
    ("lead", "createdby", "systemuser", "lk_leadbase_createdby"),
    ("lead", "modifiedby", "systemuser", "lk_leadbase_modifiedby"),
    ("lead", "owninguser", "systemuser", "lead_owning_user"),
    ("lead", "ownerid", OWNER, "owner_leads"),
    ("lead", "parentcontactid", "contact", "lead_parent_contact"),
    ("lead", "parentaccountid", "account", "lead_parent_account"),
    ("sdkmessagefilter", "sdkmessageid", "sdkmessage", "sdkmessageid_sdkmessagefilter"),
];

/// One way from a table to another.
#[derive(Debug, Clone)]
pub(crate) struct Relationship {
    /// Name of the relationship, and of the list of records on the other side.
    pub(crate) name: String,
    /// The table with the lookup.
    pub(crate) table: &'static str,
    /// The lookup.
    pub(crate) attribute: String,
    /// Its navigation property.
    pub(crate) navigation: String,
    /// The table that it leads to.
    pub(crate) target: &'static str,
    /// The id of that table.
    pub(crate) target_attribute: String,
    is_custom: bool,
}

/// All ways out of a table: one for every table that a lookup can lead to.
pub(crate) fn of_table(table: &Table) -> Vec<Relationship> {
    let mut all = Vec::new();
    for field in &table.fields {
        let FieldKind::Lookup { targets, role } = &field.kind else { continue };
        let targets: &[&'static str] = if *role == LookupRole::Owner { &[OWNER] } else { targets };
        for target in targets.iter().copied() {
            let own =
                NAMES.iter().find(|(of, by, to, _)| (*of, *by, *to) == (table.shape.name, field.name.as_str(), target));
            all.push(Relationship {
                name: own
                    .map_or_else(|| format!("{}_{}_{target}", table.shape.name, field.name), |own| own.3.to_owned()),
                table: table.shape.name,
                attribute: field.name.clone(),
                navigation: if targets.len() == 1 { field.name.clone() } else { format!("{}_{target}", field.name) },
                target,
                target_attribute: format!("{target}id"),
                is_custom: field.custom,
            });
        }
    }
    all
}

/// All relationships of all tables.
pub(crate) fn all(store: &Store) -> impl Iterator<Item = Relationship> {
    store.tables.iter().flat_map(of_table)
}

/// All ways into a table.
pub(crate) fn to_table<'a>(store: &'a Store, table: &Table) -> impl Iterator<Item = Relationship> + 'a {
    let name = table.shape.name;
    all(store).filter(move |relationship| relationship.target == name)
}

impl Relationship {
    /// As `OneToManyRelationshipMetadata`, which both sides show.
    pub(super) fn to_json(&self) -> Json {
        let kept = ["Archive", "Assign", "Merge", "Reparent", "RollupView", "Share", "Unshare"];
        let mut cascade: Map<String, Json> =
            kept.map(|kind| (kind.to_owned(), json!("NoCascade"))).into_iter().collect();
        cascade.insert("Delete".to_owned(), json!("RemoveLink"));
        json!({
            "@odata.type": "#Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata",
            "MetadataId": metadata_id(self.table, &self.name).to_string(),
            "HasChanged": null,
            "SchemaName": self.name,
            "RelationshipType": "OneToManyRelationship",
            "IsCustomRelationship": self.is_custom,
            "IsManaged": !self.is_custom,
            "IsValidForAdvancedFind": true,
            "IsCustomizable": managed(true, "iscustomizable"),
            "IsHierarchical": false,
            "IsRelationshipAttributeDenormalized": false,
            "IntroducedVersion": "5.0.0.0",
            "SecurityTypes": "Append",
            "RelationshipBehavior": 0,
            "EntityKey": null,
            "RelationshipAttributes": [],
            "ReferencedEntity": self.target,
            "ReferencedAttribute": self.target_attribute,
            "ReferencedEntityNavigationPropertyName": self.name,
            "ReferencingEntity": self.table,
            "ReferencingAttribute": self.attribute,
            "ReferencingEntityNavigationPropertyName": self.navigation,
            "AssociatedMenuConfiguration": {
                "Behavior": "UseCollectionName", "Group": "Details", "Label": label(""), "Order": 10_000,
                "Icon": null, "IsCustomizable": true, "MenuId": null, "QueryApi": null, "AvailableOffline": true,
                "ViewId": "00000000-0000-0000-0000-000000000000",
            },
            "CascadeConfiguration": cascade,
        })
    }
}
