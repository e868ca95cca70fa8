//! What objects and fields there are.

use serde_json::{Value as Json, json};

use super::{
    Request,
    error::{Error, json_reply},
    schema::{Field, Kind, Object, Source},
    single::parse_http_date,
    store::Store,
};
use crate::{reply::Reply, time};

/// Answers `/sobjects`.
pub(super) fn global(request: &Request<'_>) -> Result<Reply, Error> {
    let store = request.store();
    if let Some(reply) = not_modified(request, &store) {
        return Ok(reply);
    }
    let objects: Vec<Json> = store.tables.iter().map(|table| summary(&table.object, &request.root())).collect();
    let body = json!({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": objects});
    Ok(json_reply(200, &body).header("Last-Modified", time::http_date(store.described_at)))
}

/// Answers `/sobjects/{object}`.
pub(super) fn basic(request: &Request<'_>, object: &str) -> Result<Reply, Error> {
    let store = request.store();
    let table = request.table(&store, object)?;
    let body = json!({"objectDescribe": summary(&store.tables[table].object, &request.root()), "recentItems": []});
    Ok(json_reply(200, &body))
}

/// Answers `/sobjects/{object}/describe`.
pub(super) fn object(request: &Request<'_>, object: &str) -> Result<Reply, Error> {
    let store = request.store();
    let table = request.table(&store, object)?;
    if let Some(reply) = not_modified(request, &store) {
        return Ok(reply);
    }
    let object = &store.tables[table].object;
    let mut body = summary(object, &request.root());
    body["fields"] = object.fields.iter().map(|field| described(field, object)).collect();
    body["childRelationships"] = children(&store, object.name);
    body["recordTypeInfos"] = json!([{
        "active": true, "available": true, "defaultRecordTypeMapping": true, "developerName": "Master",
        "master": true, "name": "Master", "recordTypeId": "012000000000000AAA", "urls": {},
    }]);
    body["supportedScopes"] = json!([{"label": "All records", "name": "everything"}]);
    Ok(json_reply(200, &body).header("Last-Modified", time::http_date(store.described_at)))
}

fn not_modified(request: &Request<'_>, store: &Store) -> Option<Reply> {
    let since = request.call.header("if-modified-since").and_then(parse_http_date)?;
    (store.described_at <= since).then(|| Reply::empty(304))
}

fn summary(object: &Object, root: &str) -> Json {
    let name = object.name;
    let url = format!("{root}/sobjects/{name}");
    json!({
        "activateable": false,
        "associateEntityType": null,
        "associateParentEntity": null,
        "createable": object.writable,
        "custom": false,
        "customSetting": false,
        "deepCloneable": false,
        "deletable": object.deletable,
        "deprecatedAndHidden": false,
        "feedEnabled": false,
        "hasSubtypes": false,
        "isInterface": false,
        "isSubtype": false,
        "keyPrefix": object.prefix,
        "label": object.label,
        "labelPlural": object.plural,
        "layoutable": true,
        "mergeable": matches!(name, "Account" | "Contact" | "Lead"),
        "mruEnabled": true,
        "name": name,
        "queryable": true,
        "replicateable": object.deletable,
        "retrieveable": true,
        "searchable": true,
        "triggerable": true,
        "undeletable": object.deletable,
        "updateable": object.writable,
        "urls": {"sobject": url, "describe": format!("{url}/describe"), "rowTemplate": format!("{url}/{{ID}}")},
    })
}

fn children(store: &Store, name: &str) -> Json {
    let mut children = Vec::new();
    for table in &store.tables {
        for field in &table.object.fields {
            let Kind::Reference { to, .. } = &field.kind else { continue };
            if !to.contains(&name) || !field.updateable {
                continue;
            }
            children.push(json!({
                "cascadeDelete": false,
                "childSObject": table.object.name,
                "deprecatedAndHidden": false,
                "field": field.name,
                "junctionIdListNames": [],
                "junctionReferenceTo": [],
                "relationshipName": table.object.plural.replace(' ', ""),
                "restrictedDelete": false,
            }));
        }
    }
    children.into()
}

fn described(field: &Field, object: &Object) -> Json {
    let kind = &field.kind;
    let (digits, precision, scale) = match kind {
        Kind::Int(digits) => (*digits, 0, 0),
        Kind::Long => (18, 0, 0),
        Kind::Double { digits, places } | Kind::Currency { digits, places } | Kind::Percent { digits, places } => {
            (0, digits + places, *places)
        }
        _ => (0, 0, 0),
    };
    let length = kind.length().unwrap_or(0);
    let default = match &field.source {
        Source::Stored(value) if !value.is_null() => value.to_json(),
        _ if *kind == Kind::Boolean => false.into(),
        _ => Json::Null,
    };
    let is_long = matches!(kind, Kind::TextArea(256..));
    let mut described = json!({
        "aggregatable": kind.is_sortable() && *kind != Kind::Boolean,
        "aiPredictionField": false,
        "autoNumber": false,
        "byteLength": length * 3,
        "length": length,
        "precision": precision,
        "scale": scale,
        "calculated": false,
        "calculatedFormula": null,
        "cascadeDelete": false,
        "caseSensitive": field.case_sensitive,
        "compoundFieldName": field.compound,
        "controllerName": null,
        "createable": field.createable && object.writable,
        "custom": field.custom,
        "defaultValue": default,
        "defaultValueFormula": null,
        // Booleans have a value, and the owner is the user unless another is given.
        "defaultedOnCreate": !matches!(default, Json::Null) || !field.createable || field.name == "OwnerId",
        "dependentPicklist": false,
        "deprecatedAndHidden": false,
        "digits": digits,
        "displayLocationInDecimal": false,
        "encrypted": matches!(kind, Kind::Encrypted(_)),
        "externalId": field.external_id,
        "extraTypeInfo": if is_long { json!("plaintextarea") } else { Json::Null },
        "filterable": kind.is_filterable(),
        "filteredLookupInfo": null,
        "formulaTreatNullNumberAsZero": false,
        "groupable": kind.is_groupable(),
        "highScaleNumber": false,
        "htmlFormatted": false,
    });
    if let (Json::Object(described), Json::Object(rest)) = (&mut described, traits(field, object)) {
        described.extend(rest);
    }
    described
}

/// The second half of a field's description.
fn traits(field: &Field, object: &Object) -> Json {
    let kind = &field.kind;
    let is_secret = matches!(kind, Kind::Encrypted(_));
    let leads_to_several = matches!(kind, Kind::Reference { to, .. } if to.len() > 1);
    json!({
        "idLookup": *kind == Kind::Id || *kind == Kind::Email || field.external_id,
        "inlineHelpText": null,
        "label": field.label,
        "mask": is_secret.then_some("asterisk"),
        "maskType": is_secret.then_some("all"),
        "name": field.name,
        "nameField": field.name == "Name",
        "namePointing": leads_to_several,
        "nillable": !field.required && !matches!(kind, Kind::Id | Kind::Boolean) && !is_given(field),
        "permissionable": !field.required && field.createable,
        "picklistValues": words(kind),
        "polymorphicForeignKey": leads_to_several,
        "queryByDistance": kind.is_compound(),
        "referenceTargetField": null,
        "referenceTo": if let Kind::Reference { to, .. } = kind { json!(to) } else { json!([]) },
        "relationshipName": field.relationship(),
        "relationshipOrder": null,
        "restrictedDelete": false,
        "restrictedPicklist": matches!(kind, Kind::Picklist { restricted: true, .. } | Kind::MultiPicklist { restricted: true, .. }),
        "searchPrefilterable": matches!(kind, Kind::Reference { .. }),
        "soapType": kind.soap_type(),
        "sortable": kind.is_sortable(),
        "type": kind.name(),
        "unique": field.unique,
        "updateable": field.updateable && object.writable,
        "writeRequiresMasterRead": false,
    })
}

/// Always there, because the system gives it.
fn is_given(field: &Field) -> bool {
    matches!(field.source, Source::Created | Source::Modified | Source::User | Source::ModifiedBy | Source::IsDeleted)
        || field.name == "OwnerId"
}

fn words(kind: &Kind) -> Json {
    let word =
        |word: &String| json!({"active": true, "defaultValue": false, "label": word, "validFor": null, "value": word});
    kind.words().iter().map(word).collect()
}
