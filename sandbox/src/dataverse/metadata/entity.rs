//! `EntityMetadata`: what a definition says about a table besides its columns, keys and relationships.

use serde_json::{Map, Value as Json, json};

use super::{label, metadata_id};
use crate::{
    data::{FieldKind, Table},
    time,
};

/// Properties that only a setting would change, with the value that a table of the stand-in has.
const PLAIN: &[(&str, Option<bool>)] = &[
    ("AutoCreateAccessTeams", Some(false)),
    ("AutoRouteToOwnerQueue", Some(false)),
    ("CanTriggerWorkflow", Some(true)),
    ("EnforceStateTransitions", Some(false)),
    ("EntityHelpUrlEnabled", Some(false)),
    ("IsAIRUpdated", Some(true)),
    ("IsActivity", Some(false)),
    ("IsActivityParty", Some(true)),
    ("IsArchivalEnabled", Some(false)),
    ("IsAvailableOffline", Some(true)),
    ("IsBPFEntity", Some(false)),
    ("IsBusinessProcessEnabled", Some(false)),
    ("IsChildEntity", Some(false)),
    ("IsCustomEntity", Some(false)),
    ("IsDocumentManagementEnabled", Some(false)),
    ("IsDocumentRecommendationsEnabled", Some(false)),
    ("IsEnabledForCharts", Some(true)),
    ("IsEnabledForExternalChannels", Some(true)),
    ("IsEnabledForTrace", Some(false)),
    ("IsImportable", Some(true)),
    ("IsInteractionCentricEnabled", Some(true)),
    ("IsIntersect", Some(false)),
    ("IsKnowledgeManagementEnabled", Some(false)),
    ("IsLogicalEntity", Some(false)),
    ("IsMSTeamsIntegrationEnabled", Some(false)),
    ("IsManaged", Some(true)),
    ("IsOneNoteIntegrationEnabled", Some(false)),
    ("IsOptimisticConcurrencyEnabled", Some(true)),
    ("IsPrivate", Some(false)),
    ("IsQuickCreateEnabled", Some(true)),
    ("IsReadingPaneEnabled", Some(true)),
    ("IsRetentionEnabled", Some(false)),
    ("IsRetrieveAuditEnabled", Some(false)),
    ("IsRetrieveMultipleAuditEnabled", Some(false)),
    ("IsSLAEnabled", Some(false)),
    ("IsSolutionAware", Some(false)),
    ("IsValidForAdvancedFind", Some(true)),
    ("HasActivities", Some(true)),
    ("HasFeedback", Some(false)),
    ("HasNotes", Some(true)),
    ("SyncToExternalSearchIndex", Some(true)),
    ("UsesBusinessDataLabelTable", Some(false)),
    ("DataProviderId", None),
    ("DataSourceId", None),
    ("EntityColor", None),
    ("EntityHelpUrl", None),
    ("ExternalCollectionName", None),
    ("ExternalName", None),
    ("HasChanged", None),
    ("IconLargeName", None),
    ("IconMediumName", None),
    ("IconSmallName", None),
    ("IconVectorName", None),
    ("MobileOfflineFilters", None),
    ("OwnerId", None),
    ("OwnerIdType", None),
    ("OwningBusinessUnit", None),
    ("RecurrenceBaseEntityLogicalName", None),
    ("SettingOf", None),
];

/// The same, of the kind that says whether it may be changed: name, value, and the setting that decides.
const MANAGED: &[(&str, bool, &str)] = &[
    ("CanBeInCustomEntityAssociation", true, "canbeincustomentityassociation"),
    ("CanBeInManyToMany", true, "canbeinmanytomany"),
    ("CanBePrimaryEntityInRelationship", true, "canbeprimaryentityinrelationship"),
    ("CanBeRelatedEntityInRelationship", true, "canberelatedentityinrelationship"),
    ("CanChangeHierarchicalRelationship", true, "canchangehierarchicalrelationship"),
    ("CanChangeTrackingBeEnabled", true, "canchangetrackingbeenabled"),
    ("CanCreateAttributes", true, "cancreateattributes"),
    ("CanCreateCharts", true, "cancreatecharts"),
    ("CanCreateForms", true, "cancreateforms"),
    ("CanCreateViews", true, "cancreateviews"),
    ("CanEnableSyncToExternalSearchIndex", true, "canenablesynctoexternalsearchindex"),
    ("CanModifyAdditionalSettings", true, "canmodifyadditionalsettings"),
    ("IsConnectionsEnabled", true, "canmodifyconnectionsettings"),
    ("IsCustomizable", true, "iscustomizable"),
    ("IsDuplicateDetectionEnabled", false, "canmodifyduplicatedetectionsettings"),
    ("IsMailMergeEnabled", true, "canmodifymailmergesettings"),
    ("IsMappable", true, "ismappable"),
    ("IsOfflineInMobileClient", true, "canmodifymobileclientoffline"),
    ("IsReadOnlyInMobileClient", false, "canmodifymobileclientreadonly"),
    ("IsRenameable", true, "isrenameable"),
    ("IsValidForQueue", false, "canmodifyqueuesettings"),
    ("IsVisibleInMobile", false, "canmodifymobilevisibility"),
    ("IsVisibleInMobileClient", true, "canmodifymobileclientvisibility"),
];

/// What people can be allowed to do with the records of a table.
const PRIVILEGES: [&str; 8] = ["Create", "Read", "Write", "Delete", "Assign", "Share", "Append", "AppendTo"];

/// A definition without what `$expand` adds.
pub(super) fn entity(table: &Table, described_at: i64) -> Json {
    let shape = &table.shape;
    let image = table.fields.iter().find(|field| matches!(field.kind, FieldKind::Image));
    let is_owned = table.field("ownerid").is_some();
    let mail = |kind: &FieldKind| matches!(kind, FieldKind::Text { format: "Email", .. });
    let own = json!({
        "MetadataId": metadata_id(shape.name, "").to_string(),
        "LogicalName": shape.name,
        "SchemaName": shape.schema_name,
        "EntitySetName": shape.set,
        "LogicalCollectionName": shape.set,
        "CollectionSchemaName": shape.plural,
        "DisplayName": label(shape.label),
        "DisplayCollectionName": label(shape.plural),
        "Description": label(""),
        "PrimaryIdAttribute": shape.id_field,
        "PrimaryNameAttribute": shape.name_field,
        "PrimaryImageAttribute": image.map(|field| field.name.as_str()),
        "ObjectTypeCode": shape.type_code,
        "ActivityTypeMask": 0,
        "OwnershipType": if is_owned { "UserOwned" } else { "BusinessOwned" },
        "TableType": "Standard",
        "IntroducedVersion": "5.0.0.0",
        "ReportViewName": format!("Filtered{}", shape.schema_name),
        "DaysSinceRecordLastModified": 0,
        "CreatedOn": "1900-01-01T00:00:00Z",
        "ModifiedOn": time::instant_text(described_at),
        "HasEmailAddresses": table.fields.iter().any(|field| mail(&field.kind)),
        "IsStateModelAware": table.field("statecode").is_some(),
        "ChangeTrackingEnabled": table.tracks_changes,
        "IsAuditEnabled": managed(table.is_audited, "canmodifyauditsettings"),
        "Privileges": privileges(table, is_owned),
        "Settings": [],
    });
    let plain = PLAIN.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
    let managed = MANAGED.iter().map(|(name, value, setting)| ((*name).to_owned(), managed(*value, setting)));
    let mut properties: Map<String, Json> = plain.chain(managed).collect();
    if let Json::Object(own) = own {
        properties.extend(own);
    }
    Json::Object(properties)
}

/// A property that says whether it may be changed.
pub(super) fn managed(value: bool, setting: &str) -> Json {
    json!({"Value": value, "CanBeChanged": true, "ManagedPropertyLogicalName": setting})
}

fn privileges(table: &Table, is_owned: bool) -> Vec<Json> {
    let kinds = PRIVILEGES.iter().filter(|kind| is_owned || !matches!(**kind, "Assign" | "Share"));
    let privilege = |kind: &&str| {
        let name = format!("prv{kind}{}", table.shape.schema_name);
        json!({
            "CanBeBasic": is_owned,
            "CanBeDeep": is_owned,
            "CanBeEntityReference": false,
            "CanBeGlobal": true,
            "CanBeLocal": is_owned,
            "CanBeParentEntityReference": false,
            "CanBeRecordFilter": false,
            "Name": name,
            "PrivilegeId": metadata_id(table.shape.name, &name).to_string(),
            "PrivilegeType": kind,
        })
    };
    kinds.map(privilege).collect()
}
