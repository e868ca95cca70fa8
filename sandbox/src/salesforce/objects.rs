//! The objects of a new organisation.

use super::{
    schema::{Field, Kind, Object, Source},
    value::Value,
};
use crate::data::Fact;

const SALUTATIONS: &[&str] = &["Mr.", "Ms.", "Mrs.", "Dr.", "Prof.", "Mx."];
const LEAD_SOURCES: &[&str] =
    &["Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other", "Trade Show", "Word of mouth"];
const INDUSTRIES: &[&str] =
    &["Agriculture", "Banking", "Construction", "Education", "Healthcare", "Manufacturing", "Retail", "Technology"];
const RATINGS: &[&str] = &["Hot", "Warm", "Cold"];
const LEAD_STATUS: &[&str] =
    &["Open - Not Contacted", "Working - Contacted", "Closed - Converted", "Closed - Not Converted"];
const ACCOUNT_TYPES: &[&str] = &["Prospect", "Customer - Direct", "Customer - Channel", "Technology Partner", "Other"];
const STAGES: &[&str] = &["Prospecting", "Qualification", "Negotiation/Review", "Closed Won", "Closed Lost"];
const CAMPAIGN_TYPES: &[&str] = &["Conference", "Webinar", "Trade Show", "Email", "Telemarketing", "Other"];
const CAMPAIGN_STATUS: &[&str] = &["Planned", "In Progress", "Completed", "Aborted"];
const MEMBER_STATUS: &[&str] = &["Sent", "Responded"];

/// All of them. `Account` comes before what refers to it.
pub(super) fn objects() -> Vec<Object> {
    vec![
        user(),
        account(),
        contact(),
        lead(),
        opportunity(),
        campaign(),
        campaign_member(),
        group_member(),
        contact_history(),
    ]
}

fn text(name: &str, label: &str, length: usize) -> Field {
    Field::new(name, label, Kind::Text(length))
}

fn picklist(name: &str, label: &str, words: &[&str]) -> Field {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    Field::new(name, label, Kind::Picklist { words, restricted: false })
}

fn reference(name: &str, label: &str, to: &[&'static str]) -> Field {
    let relationship = name.strip_suffix("Id").map(str::to_owned);
    Field::new(name, label, Kind::Reference { to: to.to_vec(), relationship })
}

fn money(name: &str, label: &str) -> Field {
    Field::new(name, label, Kind::Currency { digits: 16, places: 2 })
}

fn flag(name: &str, label: &str) -> Field {
    Field::new(name, label, Kind::Boolean)
}

/// The object of a name with the fields that all objects begin and end with.
fn object(
    names: (&'static str, &'static str, &'static str),
    prefix: &'static str,
    is_deletable: bool,
    own: Vec<Field>,
) -> Object {
    let mut fields = vec![Field::new("Id", "Record ID", Kind::Id).system(Source::Id)];
    if is_deletable {
        fields.push(flag("IsDeleted", "Deleted").system(Source::IsDeleted));
    }
    fields.extend(own);
    let instant = |name, label, source| Field::new(name, label, Kind::DateTime).system(source);
    let user = |name, label, source| reference(name, label, &["User"]).system(source);
    fields.extend([
        instant("CreatedDate", "Created Date", Source::Created),
        user("CreatedById", "Created By ID", Source::User),
        instant("LastModifiedDate", "Last Modified Date", Source::Modified),
        user("LastModifiedById", "Last Modified By ID", Source::ModifiedBy),
        instant("SystemModstamp", "System Modstamp", Source::Modified),
    ]);
    let mut object = Object::new(names, prefix, fields);
    object.deletable = is_deletable;
    object
}

fn master(name: &'static str) -> Field {
    reference("MasterRecordId", "Master Record ID", &[name]).system(Source::Master)
}

fn owner() -> Field {
    reference("OwnerId", "Owner ID", &["User"]).fact(Fact::Owner)
}

fn activity() -> [Field; 3] {
    let nothing = Source::Stored(Value::Null);
    [
        Field::new("LastActivityDate", "Last Activity", Kind::Date).system(nothing.clone()),
        Field::new("LastViewedDate", "Last Viewed Date", Kind::DateTime).system(nothing.clone()),
        Field::new("LastReferencedDate", "Last Referenced Date", Kind::DateTime).system(nothing),
    ]
}

/// The fields of an address below a prefix, and the compound one.
fn address(prefix: &str, compound: &str, is_known: bool) -> Vec<Field> {
    let place = Kind::Double { digits: 3, places: 15 };
    let parts = [
        ("Street", Kind::TextArea(255), Some(Fact::Street)),
        ("City", Kind::Text(40), Some(Fact::City)),
        ("State", Kind::Text(80), Some(Fact::Region)),
        ("PostalCode", Kind::Text(20), Some(Fact::PostalCode)),
        ("Country", Kind::Text(80), Some(Fact::Country)),
        ("Latitude", place.clone(), Some(Fact::Latitude)),
        ("Longitude", place, Some(Fact::Longitude)),
    ];
    let mut fields = Vec::with_capacity(parts.len() + 1);
    for (name, kind, fact) in parts {
        let field = Field::new(&format!("{prefix}{name}"), &format!("{prefix} {name}"), kind).part_of(compound);
        fields.push(match fact.filter(|_| is_known) {
            Some(fact) => field.fact(fact),
            None => field,
        });
    }
    fields.push(Field::new(compound, compound, Kind::Address).system(Source::Compound));
    fields
}

/// First and last name and what the product makes of them.
fn person() -> Vec<Field> {
    vec![
        text("LastName", "Last Name", 80).required().fact(Fact::LastName).part_of("Name"),
        text("FirstName", "First Name", 40).fact(Fact::FirstName).part_of("Name"),
        picklist("Salutation", "Salutation", SALUTATIONS).fact(Fact::Salutation).part_of("Name"),
        text("Name", "Full Name", 121).system(Source::FullName),
    ]
}

/// What contacts and leads have in common.
fn reachable() -> Vec<Field> {
    vec![
        Field::new("Phone", "Phone", Kind::Phone).fact(Fact::Phone),
        Field::new("MobilePhone", "Mobile Phone", Kind::Phone).fact(Fact::Mobile),
        Field::new("Fax", "Fax", Kind::Phone),
        Field::new("Email", "Email", Kind::Email).fact(Fact::Email),
        text("Title", "Title", 128).fact(Fact::JobTitle),
        picklist("LeadSource", "Lead Source", LEAD_SOURCES).from(Source::Drawn(LEAD_SOURCES, 600)),
        Field::new("Description", "Description", Kind::TextArea(32_000)).fact(Fact::Description),
        owner(),
        flag("HasOptedOutOfEmail", "Email Opt Out").fact(Fact::NoMail),
        flag("HasOptedOutOfFax", "Fax Opt Out"),
        flag("DoNotCall", "Do Not Call").fact(Fact::NoPhone),
        text("EmailBouncedReason", "Email Bounced Reason", 255),
        Field::new("EmailBouncedDate", "Email Bounced Date", Kind::DateTime),
    ]
}

fn contact() -> Object {
    let mut fields = vec![master("Contact"), reference("AccountId", "Account ID", &["Account"]).fact(Fact::Employer)];
    fields.extend(person());
    fields.extend(address("Mailing", "MailingAddress", true));
    fields.extend(address("Other", "OtherAddress", false));
    fields.extend(reachable());
    fields.extend([
        Field::new("HomePhone", "Home Phone", Kind::Phone),
        Field::new("OtherPhone", "Other Phone", Kind::Phone),
        Field::new("AssistantPhone", "Asst. Phone", Kind::Phone),
        text("AssistantName", "Assistant's Name", 40),
        reference("ReportsToId", "Reports To ID", &["Contact"]),
        text("Department", "Department", 80).fact(Fact::Department),
        Field::new("Birthdate", "Birthdate", Kind::Date).fact(Fact::BirthDate),
        flag("IsEmailBounced", "Is Email Bounced").system(Source::Stored(Value::Boolean(false))),
    ]);
    fields.extend(activity());
    object(("Contact", "Contact", "Contacts"), "003", true, fields)
}

fn lead() -> Object {
    let mut fields = vec![master("Lead")];
    fields.extend(person());
    fields.push(text("Company", "Company", 255).required().from(Source::Company));
    fields.extend(address("", "Address", true));
    fields.extend(reachable());
    fields.extend([
        Field::new("Website", "Website", Kind::Url).fact(Fact::Website),
        picklist("Status", "Status", LEAD_STATUS).from(Source::Drawn(LEAD_STATUS, 1_000)),
        picklist("Industry", "Industry", INDUSTRIES).from(Source::Drawn(INDUSTRIES, 700)),
        picklist("Rating", "Rating", RATINGS).from(Source::Drawn(RATINGS, 500)),
        money("AnnualRevenue", "Annual Revenue"),
        Field::new("NumberOfEmployees", "Employees", Kind::Int(8)),
        flag("IsConverted", "Converted").system(Source::Stored(Value::Boolean(false))),
        Field::new("ConvertedDate", "Converted Date", Kind::Date).system(Source::Stored(Value::Null)),
        reference("ConvertedContactId", "Converted Contact ID", &["Contact"]).system(Source::Stored(Value::Null)),
    ]);
    fields.extend(activity());
    object(("Lead", "Lead", "Leads"), "00Q", true, fields)
}

fn account() -> Object {
    let mut fields = vec![
        master("Account"),
        text("Name", "Account Name", 255).required().fact(Fact::CompanyName),
        picklist("Type", "Account Type", ACCOUNT_TYPES).from(Source::Drawn(ACCOUNT_TYPES, 700)),
        reference("ParentId", "Parent Account ID", &["Account"]),
    ];
    fields.extend(address("Billing", "BillingAddress", true));
    fields.extend(address("Shipping", "ShippingAddress", false));
    fields.extend([
        Field::new("Phone", "Account Phone", Kind::Phone).fact(Fact::Phone),
        Field::new("Fax", "Account Fax", Kind::Phone),
        text("AccountNumber", "Account Number", 40).fact(Fact::CompanyNumber),
        Field::new("Website", "Website", Kind::Url).fact(Fact::Website),
        picklist("Industry", "Industry", INDUSTRIES).from(Source::Word(Fact::Industry, INDUSTRIES)),
        money("AnnualRevenue", "Annual Revenue").fact(Fact::Revenue),
        Field::new("NumberOfEmployees", "Employees", Kind::Int(8)).fact(Fact::Employees),
        Field::new("Description", "Account Description", Kind::TextArea(32_000)).fact(Fact::Description),
        picklist("Rating", "Account Rating", RATINGS).from(Source::Drawn(RATINGS, 500)),
        owner(),
    ]);
    fields.extend(activity());
    object(("Account", "Account", "Accounts"), "001", true, fields)
}

fn user() -> Object {
    let mut fields = vec![text("Username", "Username", 80).required().fact(Fact::UserName)];
    fields.extend(person());
    fields.extend([
        Field::new("Email", "Email", Kind::Email).required().fact(Fact::UserName),
        text("Title", "Title", 80).fact(Fact::JobTitle),
        text("Department", "Department", 80).fact(Fact::Department),
        Field::new("Phone", "Phone", Kind::Phone).fact(Fact::Phone),
        flag("IsActive", "Active").from(Source::Stored(Value::Boolean(true))),
        picklist("UserType", "User Type", &["Standard"]).from(Source::Stored(Value::literal("Standard"))),
        text("TimeZoneSidKey", "Time Zone", 40).from(Source::Stored(Value::literal("GMT"))),
    ]);
    let mut object = object(("User", "User", "Users"), "005", false, fields);
    object.writable = false;
    object
}

fn opportunity() -> Object {
    let fields = vec![
        reference("AccountId", "Account ID", &["Account"]),
        text("Name", "Name", 120).required(),
        Field::new("Description", "Description", Kind::TextArea(32_000)),
        picklist("StageName", "Stage", STAGES).required(),
        money("Amount", "Amount"),
        Field::new("Probability", "Probability (%)", Kind::Percent { digits: 3, places: 0 }),
        Field::new("CloseDate", "Close Date", Kind::Date).required(),
        reference("CampaignId", "Campaign ID", &["Campaign"]),
        owner(),
    ];
    object(("Opportunity", "Opportunity", "Opportunities"), "006", true, fields)
}

fn campaign() -> Object {
    let fields = vec![
        text("Name", "Name", 80).required(),
        reference("ParentId", "Parent Campaign ID", &["Campaign"]),
        picklist("Type", "Type", CAMPAIGN_TYPES),
        picklist("Status", "Status", CAMPAIGN_STATUS).from(Source::Stored(Value::literal("Planned"))),
        Field::new("StartDate", "Start Date", Kind::Date),
        Field::new("EndDate", "End Date", Kind::Date),
        money("BudgetedCost", "Budgeted Cost"),
        Field::new("NumberSent", "Num Sent", Kind::Double { digits: 18, places: 0 }),
        flag("IsActive", "Active"),
        Field::new("Description", "Description", Kind::TextArea(32_000)),
        owner(),
    ];
    object(("Campaign", "Campaign", "Campaigns"), "701", true, fields)
}

fn campaign_member() -> Object {
    let mut campaign = reference("CampaignId", "Campaign ID", &["Campaign"]).required();
    campaign.updateable = false;
    let fields = vec![
        campaign,
        reference("LeadId", "Lead ID", &["Lead"]),
        reference("ContactId", "Contact ID", &["Contact"]),
        picklist("Status", "Status", MEMBER_STATUS).from(Source::Stored(Value::literal("Sent"))),
        flag("HasResponded", "Responded").system(Source::Stored(Value::Boolean(false))),
    ];
    object(("CampaignMember", "Campaign Member", "Campaign Members"), "00v", true, fields)
}

/// It has no `LastModifiedDate`, only the `SystemModstamp`.
fn group_member() -> Object {
    let fields = vec![
        Field::new("Id", "Group Member ID", Kind::Id).system(Source::Id),
        text("GroupId", "Group ID", 18).required(),
        reference("UserOrGroupId", "User/Group ID", &["User"]).required(),
        Field::new("SystemModstamp", "System Modstamp", Kind::DateTime).system(Source::Modified),
    ];
    let mut object = Object::new(("GroupMember", "Group Member", "Group Members"), "011", fields);
    object.deletable = false;
    object
}

/// It has neither: its records never change.
fn contact_history() -> Object {
    let fields = vec![
        Field::new("Id", "Contact History ID", Kind::Id).system(Source::Id),
        reference("ContactId", "Contact ID", &["Contact"]),
        reference("CreatedById", "Created By ID", &["User"]).system(Source::User),
        Field::new("CreatedDate", "Created Date", Kind::DateTime).system(Source::Created),
        text("Field", "Changed Field", 255),
    ];
    let mut object = Object::new(("ContactHistory", "Contact History", "Contact History"), "017", fields);
    (object.writable, object.deletable) = (false, false);
    object
}
