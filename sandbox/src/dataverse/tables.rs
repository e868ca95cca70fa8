//! The tables of the stand-in, with the columns of the real ones that anybody moves.

use crate::data::{
    Choice, DateBehavior, Fact, Field, FieldKind, LookupRole, Population, PopulationKind, Required,
    Table, TableShape, Value,
    generate::{Others, seed_of},
};

/// A column as the lists below spell it: schema name, label, type and the fact that generated records show.
type Column = (&'static str, &'static str, Spec, Option<Fact>);

/// Shorthand for the types of columns.
#[derive(Clone, Copy)]
enum Spec {
    Text(usize),
    Format(usize, &'static str),
    Memo(usize),
    Id,
    Guid,
    Instant,
    Day,
    Integer(i64, i64),
    BigInt,
    Money,
    Decimal(u8),
    Double(u8),
    Flag(&'static str, &'static str, bool),
    List(&'static [&'static str]),
    State,
    Status,
    Lookup(&'static [&'static str]),
    Customer,
    Owner,
    EntityName,
    Virtual,
}

use Spec::{
    BigInt, Customer, Day, Decimal, Double, EntityName, Flag, Format, Guid, Id, Instant, Integer,
    List, Lookup, Memo, Money, Owner, State, Status, Text, Virtual,
};

/// Columns that the system itself keeps on every table.
const SYSTEM: &[Column] = &[
    ("CreatedOn", "Created On", Instant, Some(Fact::CreatedOn)),
    ("ModifiedOn", "Modified On", Instant, Some(Fact::ModifiedOn)),
    (
        "CreatedBy",
        "Created By",
        Lookup(&["systemuser"]),
        Some(Fact::Owner),
    ),
    (
        "ModifiedBy",
        "Modified By",
        Lookup(&["systemuser"]),
        Some(Fact::Owner),
    ),
    (
        "VersionNumber",
        "Version Number",
        BigInt,
        Some(Fact::Version),
    ),
    ("OverriddenCreatedOn", "Record Created On", Day, None),
    (
        "ImportSequenceNumber",
        "Import Sequence Number",
        Integer(-2_147_483_648, 2_147_483_647),
        None,
    ),
    (
        "TimeZoneRuleVersionNumber",
        "Time Zone Rule Version Number",
        Integer(-1, 2_147_483_647),
        None,
    ),
    ("OwnerId", "Owner", Owner, Some(Fact::Owner)),
    ("OwnerIdType", "", EntityName, None),
    (
        "OwningUser",
        "Owning User",
        Lookup(&["systemuser"]),
        Some(Fact::Owner),
    ),
    ("StateCode", "Status", State, Some(Fact::State)),
    ("StateCodeName", "", Virtual, None),
    ("StatusCode", "Status Reason", Status, Some(Fact::Status)),
    ("StatusCodeName", "", Virtual, None),
];

/// Address, consent and money, which contacts and accounts share.
const SHARED: &[Column] = &[
    (
        "Telephone1",
        "Business Phone",
        Format(50, "Phone"),
        Some(Fact::Phone),
    ),
    ("Telephone2", "Home Phone", Format(50, "Phone"), None),
    ("Fax", "Fax", Format(50, "Phone"), None),
    (
        "WebSiteUrl",
        "Website",
        Format(200, "Url"),
        Some(Fact::Website),
    ),
    (
        "EMailAddress1",
        "Email",
        Format(100, "Email"),
        Some(Fact::Email),
    ),
    (
        "EMailAddress2",
        "Email Address 2",
        Format(100, "Email"),
        Some(Fact::SecondEmail),
    ),
    (
        "EMailAddress3",
        "Email Address 3",
        Format(100, "Email"),
        None,
    ),
    (
        "Address1_Line1",
        "Address 1: Street 1",
        Text(250),
        Some(Fact::Street),
    ),
    (
        "Address1_Line2",
        "Address 1: Street 2",
        Text(250),
        Some(Fact::StreetDetail),
    ),
    ("Address1_Line3", "Address 1: Street 3", Text(250), None),
    (
        "Address1_City",
        "Address 1: City",
        Text(80),
        Some(Fact::City),
    ),
    (
        "Address1_StateOrProvince",
        "Address 1: State/Province",
        Text(50),
        Some(Fact::Region),
    ),
    (
        "Address1_PostalCode",
        "Address 1: ZIP/Postal Code",
        Text(20),
        Some(Fact::PostalCode),
    ),
    (
        "Address1_Country",
        "Address 1: Country/Region",
        Text(80),
        Some(Fact::Country),
    ),
    (
        "Address1_Latitude",
        "Address 1: Latitude",
        Double(5),
        Some(Fact::Latitude),
    ),
    (
        "Address1_Longitude",
        "Address 1: Longitude",
        Double(5),
        Some(Fact::Longitude),
    ),
    (
        "Description",
        "Description",
        Memo(2_000),
        Some(Fact::Description),
    ),
    (
        "DoNotEMail",
        "Do not allow Emails",
        Flag("Do Not Allow", "Allow", false),
        Some(Fact::NoMail),
    ),
    (
        "DoNotPhone",
        "Do not allow Phone Calls",
        Flag("Do Not Allow", "Allow", false),
        Some(Fact::NoPhone),
    ),
    (
        "DoNotBulkEMail",
        "Do not allow Bulk Emails",
        Flag("Do Not Allow", "Allow", false),
        Some(Fact::NoMail),
    ),
    (
        "DoNotPostalMail",
        "Do not allow Mails",
        Flag("Do Not Allow", "Allow", false),
        None,
    ),
    (
        "CreditOnHold",
        "Credit Hold",
        Flag("Yes", "No", false),
        None,
    ),
    (
        "CreditLimit",
        "Credit Limit",
        Money,
        Some(Fact::CreditLimit),
    ),
    (
        "TransactionCurrencyId",
        "Currency",
        Lookup(&["transactioncurrency"]),
        None,
    ),
    ("ExchangeRate", "Exchange Rate", Decimal(10), None),
    (
        "LastOnHoldTime",
        "Last On Hold Time",
        Instant,
        Some(Fact::HeldOn),
    ),
    (
        "LastUsedInCampaign",
        "Last Date Included in Campaign",
        Day,
        None,
    ),
    (
        "PreferredContactMethodCode",
        "Preferred Method of Contact",
        List(&["Any", "Email", "Phone", "Fax", "Mail"]),
        None,
    ),
    ("EntityImage", "Entity Image", Virtual, None),
    ("EntityImageId", "Entity Image Id", Guid, None),
];

const CONTACT: &[Column] = &[
    ("ContactId", "Contact", Id, Some(Fact::Id)),
    ("FirstName", "First Name", Text(50), Some(Fact::FirstName)),
    (
        "MiddleName",
        "Middle Name",
        Text(50),
        Some(Fact::MiddleName),
    ),
    ("LastName", "Last Name", Text(50), Some(Fact::LastName)),
    ("FullName", "Full Name", Text(160), Some(Fact::FullName)),
    (
        "Salutation",
        "Salutation",
        Text(100),
        Some(Fact::Salutation),
    ),
    ("Suffix", "Suffix", Text(10), None),
    ("NickName", "Nickname", Text(100), None),
    ("JobTitle", "Job Title", Text(100), Some(Fact::JobTitle)),
    (
        "Department",
        "Department",
        Text(100),
        Some(Fact::Department),
    ),
    (
        "MobilePhone",
        "Mobile Phone",
        Format(50, "Phone"),
        Some(Fact::Mobile),
    ),
    ("BirthDate", "Birthday", Day, Some(Fact::BirthDate)),
    ("Anniversary", "Anniversary", Day, Some(Fact::Anniversary)),
    (
        "GenderCode",
        "Gender",
        List(&["Male", "Female"]),
        Some(Fact::Gender),
    ),
    ("GenderCodeName", "", Virtual, None),
    (
        "FamilyStatusCode",
        "Marital Status",
        List(&["Single", "Married", "Divorced", "Widowed"]),
        Some(Fact::FamilyStatus),
    ),
    (
        "NumberOfChildren",
        "No. of Children",
        Integer(0, 1_000_000_000),
        Some(Fact::Children),
    ),
    ("SpousesName", "Spouse/Partner Name", Text(100), None),
    ("AnnualIncome", "Annual Income", Money, Some(Fact::Income)),
    (
        "CustomerTypeCode",
        "Relationship Type",
        List(&["Default Value"]),
        None,
    ),
    (
        "LeadSourceCode",
        "Lead Source",
        List(&["Default Value"]),
        None,
    ),
    ("ManagerName", "Manager", Text(100), None),
    ("AssistantName", "Assistant", Text(100), None),
    ("GovernmentId", "Government", Text(50), None),
    ("EmployeeId", "Employee", Text(50), None),
    (
        "ExternalUserIdentifier",
        "External User Identifier",
        Text(50),
        None,
    ),
    (
        "ParentCustomerId",
        "Company Name",
        Customer,
        Some(Fact::Employer),
    ),
    ("ParentCustomerIdName", "", Virtual, None),
    ("ParentCustomerIdType", "", EntityName, None),
];

const ACCOUNT: &[Column] = &[
    ("AccountId", "Account", Id, Some(Fact::Id)),
    ("Name", "Account Name", Text(160), Some(Fact::CompanyName)),
    (
        "AccountNumber",
        "Account Number",
        Text(20),
        Some(Fact::CompanyNumber),
    ),
    ("Revenue", "Annual Revenue", Money, Some(Fact::Revenue)),
    (
        "NumberOfEmployees",
        "Number of Employees",
        Integer(0, 1_000_000_000),
        Some(Fact::Employees),
    ),
    (
        "IndustryCode",
        "Industry",
        List(&[
            "Accounting",
            "Agriculture",
            "Broadcasting",
            "Brokers",
            "Building Supply",
            "Business Services",
            "Consulting",
            "Consumer Services",
        ]),
        Some(Fact::Industry),
    ),
    (
        "CustomerTypeCode",
        "Relationship Type",
        List(&[
            "Competitor",
            "Consultant",
            "Customer",
            "Investor",
            "Partner",
        ]),
        None,
    ),
    ("SIC", "SIC Code", Text(20), None),
    ("TickerSymbol", "Ticker Symbol", Text(10), None),
    (
        "PrimaryContactId",
        "Primary Contact",
        Lookup(&["contact"]),
        Some(Fact::MainContact),
    ),
    (
        "ParentAccountId",
        "Parent Account",
        Lookup(&["account"]),
        None,
    ),
];

const USER: &[Column] = &[
    ("SystemUserId", "User", Id, Some(Fact::Id)),
    ("FirstName", "First Name", Text(256), Some(Fact::FirstName)),
    ("LastName", "Last Name", Text(256), Some(Fact::LastName)),
    ("FullName", "Full Name", Text(200), Some(Fact::FullName)),
    (
        "InternalEMailAddress",
        "Primary Email",
        Format(100, "Email"),
        Some(Fact::UserName),
    ),
    ("DomainName", "User Name", Text(1_024), Some(Fact::UserName)),
    (
        "IsDisabled",
        "Status",
        Flag("Disabled", "Enabled", false),
        None,
    ),
    ("CreatedOn", "Created On", Instant, Some(Fact::CreatedOn)),
    ("ModifiedOn", "Modified On", Instant, Some(Fact::ModifiedOn)),
    (
        "VersionNumber",
        "Version number",
        BigInt,
        Some(Fact::Version),
    ),
];

/// Columns that no client may write.
const READ_ONLY: &[&str] = &[
    "createdon",
    "modifiedon",
    "createdby",
    "modifiedby",
    "versionnumber",
    "fullname",
    "owninguser",
    "exchangerate",
    "entityimageid",
    "lastusedincampaign_date",
];

/// All tables, with so many generated people, companies and users.
pub(crate) fn tables(others: Others, until: i64) -> Vec<Table> {
    let population = |kind, count| Population {
        kind,
        count,
        seed: seed_of(kind, others.seed),
        until,
        others,
    };
    let contact = TableShape {
        name: "contact",
        set: "contacts",
        schema_name: "Contact",
        label: "Contact",
        plural: "Contacts",
        type_code: 2,
        id_field: "contactid",
        name_field: "fullname",
    };
    let account = TableShape {
        name: "account",
        set: "accounts",
        schema_name: "Account",
        label: "Account",
        plural: "Accounts",
        type_code: 1,
        id_field: "accountid",
        name_field: "name",
    };
    let user = TableShape {
        name: "systemuser",
        set: "systemusers",
        schema_name: "SystemUser",
        label: "User",
        plural: "Users",
        type_code: 8,
        id_field: "systemuserid",
        name_field: "fullname",
    };
    vec![
        Table::new(
            contact,
            fields(&[CONTACT, SHARED, SYSTEM], "contact"),
            population(PopulationKind::People, others.people),
        ),
        Table::new(
            account,
            fields(&[ACCOUNT, SHARED, SYSTEM], "account"),
            population(PopulationKind::Companies, others.companies),
        ),
        Table::new(
            user,
            fields(&[USER], "systemuser"),
            population(PopulationKind::Users, others.users),
        ),
    ]
}

fn fields(lists: &[&[Column]], table: &str) -> Vec<Field> {
    lists
        .iter()
        .flat_map(|list| list.iter())
        .map(|column| field(column, table))
        .collect()
}

fn field((schema_name, label, spec, fact): &Column, table: &str) -> Field {
    let name = schema_name.to_lowercase();
    let kind = kind(*spec);
    let is_read_only = READ_ONLY.contains(&name.as_str()) || !kind.is_readable();
    // Accounts demand a name in forms, contacts a last name; the API demands neither.
    let required = match (table, name.as_str()) {
        ("contact", "lastname") | ("account", "name") => Required::Application,
        (_, "firstname") => Required::Recommended,
        (_, "statecode" | "ownerid") => Required::System,
        _ if matches!(spec, Id) => Required::System,
        _ => Required::None,
    };
    let default = match (spec, fact) {
        (Flag(_, _, default), _) => Value::Boolean(*default),
        (State, _) => Value::Integer(0),
        (Status, _) => Value::Integer(1),
        (List(_), _)
            if name.starts_with("preferred")
                || name == "customertypecode" && table == "contact"
                || name == "leadsourcecode" =>
        {
            Value::Integer(1)
        }
        _ => Value::Null,
    };
    Field {
        name,
        schema_name: (*schema_name).to_owned(),
        label: (*label).to_owned(),
        kind,
        can_create: !is_read_only,
        can_update: !is_read_only && !matches!(spec, Id) && *schema_name != "OverriddenCreatedOn",
        required,
        custom: false,
        fact: *fact,
        default,
    }
}

fn kind(spec: Spec) -> FieldKind {
    match spec {
        Text(length_max) => FieldKind::Text {
            length_max,
            format: "Text",
        },
        Format(length_max, format) => FieldKind::Text { length_max, format },
        Memo(length_max) => FieldKind::Memo { length_max },
        Id | Guid => FieldKind::Guid,
        Instant => FieldKind::DateTime(DateBehavior::UserLocal),
        Day => FieldKind::DateTime(DateBehavior::DateOnly),
        Integer(min, max) => FieldKind::Integer { min, max },
        BigInt => FieldKind::BigInt,
        Money => FieldKind::Money { precision: 2 },
        Decimal(precision) => FieldKind::Decimal { precision },
        Double(precision) => FieldKind::Double { precision },
        Flag(yes, no, _) => FieldKind::Boolean {
            yes: yes.to_owned(),
            no: no.to_owned(),
        },
        List(labels) => FieldKind::Picklist(
            (1..)
                .zip(labels)
                .map(|(value, label)| Choice::new(value, *label))
                .collect(),
        ),
        State => FieldKind::State(vec![Choice::new(0, "Active"), Choice::new(1, "Inactive")]),
        Status => FieldKind::Status(vec![
            Choice {
                state: Some(0),
                ..Choice::new(1, "Active")
            },
            Choice {
                state: Some(1),
                ..Choice::new(2, "Inactive")
            },
        ]),
        Lookup(targets) => FieldKind::Lookup {
            targets: targets.to_vec(),
            role: LookupRole::Plain,
        },
        Customer => FieldKind::Lookup {
            targets: vec!["account", "contact"],
            role: LookupRole::Customer,
        },
        Owner => FieldKind::Lookup {
            targets: vec!["systemuser", "team"],
            role: LookupRole::Owner,
        },
        EntityName => FieldKind::EntityName,
        Virtual => FieldKind::Virtual,
    }
}
