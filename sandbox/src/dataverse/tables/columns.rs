//! The columns of the tables, as lists.

use crate::data::Fact;

/// A column as the lists below spell it: schema name, label, type and the fact that generated records show.
pub(super) type Column = (&'static str, &'static str, Spec, Option<Fact>);

/// Shorthand for the types of columns.
#[derive(Clone, Copy)]
pub(super) enum Spec {
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
    LeadState,
    LeadStatus,
    Lookup(&'static [&'static str]),
    Customer,
    Owner,
    EntityName,
    Virtual,
    Image,
}

use Spec::{
    BigInt, Customer, Day, Decimal, Double, EntityName, Flag, Format, Guid, Id, Image, Instant, Integer, LeadState,
    LeadStatus, List, Lookup, Memo, Money, Owner, State, Status, Text, Virtual,
};

/// Columns that the system itself keeps on every table.
pub(super) const SYSTEM: &[Column] = &[
    ("CreatedOn", "Created On", Instant, Some(Fact::CreatedOn)),
    ("ModifiedOn", "Modified On", Instant, Some(Fact::ModifiedOn)),
    ("CreatedBy", "Created By", Lookup(&["systemuser"]), Some(Fact::Owner)),
    ("ModifiedBy", "Modified By", Lookup(&["systemuser"]), Some(Fact::ModifiedBy)),
    ("VersionNumber", "Version Number", BigInt, Some(Fact::Version)),
    ("OverriddenCreatedOn", "Record Created On", Day, None),
    ("ImportSequenceNumber", "Import Sequence Number", Integer(-2_147_483_648, 2_147_483_647), None),
    ("TimeZoneRuleVersionNumber", "Time Zone Rule Version Number", Integer(-1, 2_147_483_647), None),
    ("OwnerId", "Owner", Owner, Some(Fact::Owner)),
    ("OwnerIdType", "", EntityName, None),
    ("OwningUser", "Owning User", Lookup(&["systemuser"]), Some(Fact::Owner)),
    ("StateCode", "Status", State, Some(Fact::State)),
    ("StateCodeName", "", Virtual, None),
    ("StatusCode", "Status Reason", Status, Some(Fact::Status)),
    ("StatusCodeName", "", Virtual, None),
];

/// Address, consent and money, which contacts and accounts share.
pub(super) const SHARED: &[Column] = &[
    ("Telephone1", "Business Phone", Format(50, "Phone"), Some(Fact::Phone)),
    ("Telephone2", "Home Phone", Format(50, "Phone"), None),
    ("Fax", "Fax", Format(50, "Phone"), None),
    ("WebSiteUrl", "Website", Format(200, "Url"), Some(Fact::Website)),
    ("EMailAddress1", "Email", Format(100, "Email"), Some(Fact::Email)),
    ("EMailAddress2", "Email Address 2", Format(100, "Email"), Some(Fact::SecondEmail)),
    ("EMailAddress3", "Email Address 3", Format(100, "Email"), None),
    ("Address1_Line1", "Address 1: Street 1", Text(250), Some(Fact::Street)),
    ("Address1_Line2", "Address 1: Street 2", Text(250), Some(Fact::StreetDetail)),
    ("Address1_Line3", "Address 1: Street 3", Text(250), None),
    ("Address1_City", "Address 1: City", Text(80), Some(Fact::City)),
    ("Address1_StateOrProvince", "Address 1: State/Province", Text(50), Some(Fact::Region)),
    ("Address1_PostalCode", "Address 1: ZIP/Postal Code", Text(20), Some(Fact::PostalCode)),
    ("Address1_Country", "Address 1: Country/Region", Text(80), Some(Fact::Country)),
    ("Address1_Latitude", "Address 1: Latitude", Double(5), Some(Fact::Latitude)),
    ("Address1_Longitude", "Address 1: Longitude", Double(5), Some(Fact::Longitude)),
    ("Description", "Description", Memo(2_000), Some(Fact::Description)),
    ("DoNotEMail", "Do not allow Emails", Flag("Do Not Allow", "Allow", false), Some(Fact::NoMail)),
    ("DoNotPhone", "Do not allow Phone Calls", Flag("Do Not Allow", "Allow", false), Some(Fact::NoPhone)),
    ("DoNotBulkEMail", "Do not allow Bulk Emails", Flag("Do Not Allow", "Allow", false), Some(Fact::NoMail)),
    ("DoNotPostalMail", "Do not allow Mails", Flag("Do Not Allow", "Allow", false), None),
    ("CreditOnHold", "Credit Hold", Flag("Yes", "No", false), None),
    ("CreditLimit", "Credit Limit", Money, Some(Fact::CreditLimit)),
    ("TransactionCurrencyId", "Currency", Lookup(&["transactioncurrency"]), None),
    ("ExchangeRate", "Exchange Rate", Decimal(10), None),
    ("LastOnHoldTime", "Last On Hold Time", Instant, Some(Fact::HeldOn)),
    ("LastUsedInCampaign", "Last Date Included in Campaign", Day, None),
    (
        "PreferredContactMethodCode",
        "Preferred Method of Contact",
        List(&["Any", "Email", "Phone", "Fax", "Mail"]),
        None,
    ),
    ("EntityImage", "Entity Image", Image, None),
    ("EntityImageId", "Entity Image Id", Guid, None),
    ("EntityImage_URL", "", Text(200), None),
    ("EntityImage_Timestamp", "", BigInt, None),
];

pub(super) const CONTACT: &[Column] = &[
    ("ContactId", "Contact", Id, Some(Fact::Id)),
    ("FirstName", "First Name", Text(50), Some(Fact::FirstName)),
    ("MiddleName", "Middle Name", Text(50), Some(Fact::MiddleName)),
    ("LastName", "Last Name", Text(50), Some(Fact::LastName)),
    ("FullName", "Full Name", Text(160), Some(Fact::FullName)),
    ("Salutation", "Salutation", Text(100), Some(Fact::Salutation)),
    ("Suffix", "Suffix", Text(10), None),
    ("NickName", "Nickname", Text(100), None),
    ("JobTitle", "Job Title", Text(100), Some(Fact::JobTitle)),
    ("Department", "Department", Text(100), Some(Fact::Department)),
    ("MobilePhone", "Mobile Phone", Format(50, "Phone"), Some(Fact::Mobile)),
    ("BirthDate", "Birthday", Day, Some(Fact::BirthDate)),
    ("Anniversary", "Anniversary", Day, Some(Fact::Anniversary)),
    ("GenderCode", "Gender", List(&["Male", "Female"]), Some(Fact::Gender)),
    ("GenderCodeName", "", Virtual, None),
    (
        "FamilyStatusCode",
        "Marital Status",
        List(&["Single", "Married", "Divorced", "Widowed"]),
        Some(Fact::FamilyStatus),
    ),
    ("NumberOfChildren", "No. of Children", Integer(0, 1_000_000_000), Some(Fact::Children)),
    ("SpousesName", "Spouse/Partner Name", Text(100), None),
    ("AnnualIncome", "Annual Income", Money, Some(Fact::Income)),
    ("CustomerTypeCode", "Relationship Type", List(&["Default Value"]), None),
    ("LeadSourceCode", "Lead Source", List(&["Default Value"]), None),
    ("ManagerName", "Manager", Text(100), None),
    ("AssistantName", "Assistant", Text(100), None),
    ("GovernmentId", "Government", Text(50), None),
    ("EmployeeId", "Employee", Text(50), None),
    ("ExternalUserIdentifier", "External User Identifier", Text(50), None),
    ("ParentCustomerId", "Company Name", Customer, Some(Fact::Employer)),
    ("ParentCustomerIdName", "", Virtual, None),
    ("ParentCustomerIdType", "", EntityName, None),
];

pub(super) const ACCOUNT: &[Column] = &[
    ("AccountId", "Account", Id, Some(Fact::Id)),
    ("Name", "Account Name", Text(160), Some(Fact::CompanyName)),
    ("AccountNumber", "Account Number", Text(20), Some(Fact::CompanyNumber)),
    ("Revenue", "Annual Revenue", Money, Some(Fact::Revenue)),
    ("NumberOfEmployees", "Number of Employees", Integer(0, 1_000_000_000), Some(Fact::Employees)),
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
        List(&["Competitor", "Consultant", "Customer", "Investor", "Partner"]),
        None,
    ),
    ("SIC", "SIC Code", Text(20), None),
    ("TickerSymbol", "Ticker Symbol", Text(10), None),
    ("PrimaryContactId", "Primary Contact", Lookup(&["contact"]), Some(Fact::MainContact)),
    ("ParentAccountId", "Parent Account", Lookup(&["account"]), None),
];

pub(super) const LEAD: &[Column] = &[
    ("LeadId", "Lead", Id, Some(Fact::Id)),
    ("Subject", "Topic", Text(300), None),
    ("FirstName", "First Name", Text(50), Some(Fact::FirstName)),
    ("MiddleName", "Middle Name", Text(50), Some(Fact::MiddleName)),
    ("LastName", "Last Name", Text(50), Some(Fact::LastName)),
    ("FullName", "Name", Text(160), Some(Fact::FullName)),
    ("Salutation", "Salutation", Text(100), Some(Fact::Salutation)),
    ("CompanyName", "Company Name", Text(100), None),
    ("JobTitle", "Job Title", Text(100), Some(Fact::JobTitle)),
    ("MobilePhone", "Mobile Phone", Format(50, "Phone"), Some(Fact::Mobile)),
    ("Telephone1", "Business Phone", Format(50, "Phone"), Some(Fact::Phone)),
    ("WebSiteUrl", "Website", Format(200, "Url"), Some(Fact::Website)),
    ("EMailAddress1", "Email", Format(100, "Email"), Some(Fact::Email)),
    ("EMailAddress2", "Email Address 2", Format(100, "Email"), Some(Fact::SecondEmail)),
    ("Address1_Line1", "Street 1", Text(250), Some(Fact::Street)),
    ("Address1_City", "City", Text(80), Some(Fact::City)),
    ("Address1_StateOrProvince", "State/Province", Text(50), Some(Fact::Region)),
    ("Address1_PostalCode", "ZIP/Postal Code", Text(20), Some(Fact::PostalCode)),
    ("Address1_Country", "Country/Region", Text(80), Some(Fact::Country)),
    ("Description", "Description", Memo(2_000), Some(Fact::Description)),
    ("DoNotEMail", "Do not allow Emails", Flag("Do Not Allow", "Allow", false), Some(Fact::NoMail)),
    ("DoNotBulkEMail", "Do not allow Bulk Emails", Flag("Do Not Allow", "Allow", false), Some(Fact::NoMail)),
    ("DoNotPhone", "Do not allow Phone Calls", Flag("Do Not Allow", "Allow", false), Some(Fact::NoPhone)),
    ("Revenue", "Annual Revenue", Money, None),
    ("NumberOfEmployees", "No. of Employees", Integer(0, 1_000_000), None),
    ("LeadQualityCode", "Rating", List(&["Hot", "Warm", "Cold"]), None),
    ("LeadSourceCode", "Lead Source", List(&["Advertisement", "Employee Referral", "Partner", "Seminar", "Web"]), None),
    ("ParentContactId", "Parent Contact for lead", Lookup(&["contact"]), None),
    ("ParentAccountId", "Parent Account for lead", Lookup(&["account"]), None),
    ("StateCode", "Status", LeadState, None),
    ("StatusCode", "Status Reason", LeadStatus, None),
    ("CreatedOn", "Created On", Instant, Some(Fact::CreatedOn)),
    ("ModifiedOn", "Modified On", Instant, Some(Fact::ModifiedOn)),
    ("CreatedBy", "Created By", Lookup(&["systemuser"]), Some(Fact::Owner)),
    ("ModifiedBy", "Modified By", Lookup(&["systemuser"]), Some(Fact::ModifiedBy)),
    ("VersionNumber", "Version Number", BigInt, Some(Fact::Version)),
    ("OwnerId", "Owner", Owner, Some(Fact::Owner)),
    ("OwningUser", "Owning User", Lookup(&["systemuser"]), Some(Fact::Owner)),
];

/// The log of deletions, if auditing is on. Nobody writes it.
pub(super) const AUDIT: &[Column] = &[
    ("AuditId", "Record Id", Id, Some(Fact::Id)),
    ("CreatedOn", "Changed Date", Instant, Some(Fact::CreatedOn)),
    ("Operation", "Operation", List(&["Create", "Update", "Delete", "Access"]), None),
    ("Action", "Event", List(&["Create", "Update", "Delete"]), None),
    ("ObjectTypeCode", "Entity", Text(64), None),
    ("ObjectId", "Record", Lookup(&["contact", "account", "lead", "systemuser"]), None),
    ("UserId", "Changed By", Lookup(&["systemuser"]), None),
    ("VersionNumber", "Version Number", BigInt, Some(Fact::Version)),
];

pub(super) const MESSAGE: &[Column] = &[
    ("SdkMessageId", "SDK Message", Id, Some(Fact::Id)),
    ("Name", "Name", Text(256), None),
    ("VersionNumber", "Version Number", BigInt, Some(Fact::Version)),
];

pub(super) const MESSAGE_FILTER: &[Column] = &[
    ("SdkMessageFilterId", "SDK Message Filter", Id, Some(Fact::Id)),
    ("Name", "Name", Text(256), None),
    ("PrimaryObjectTypeCode", "Primary Object Type Code", Text(64), None),
    ("SdkMessageId", "SDK Message", Lookup(&["sdkmessage"]), None),
    ("VersionNumber", "Version Number", BigInt, Some(Fact::Version)),
];

pub(super) const USER: &[Column] = &[
    ("SystemUserId", "User", Id, Some(Fact::Id)),
    ("FirstName", "First Name", Text(256), Some(Fact::FirstName)),
    ("LastName", "Last Name", Text(256), Some(Fact::LastName)),
    ("FullName", "Full Name", Text(200), Some(Fact::FullName)),
    ("InternalEMailAddress", "Primary Email", Format(100, "Email"), Some(Fact::UserName)),
    ("DomainName", "User Name", Text(1_024), Some(Fact::UserName)),
    ("IsDisabled", "Status", Flag("Disabled", "Enabled", false), None),
    ("CreatedOn", "Created On", Instant, Some(Fact::CreatedOn)),
    ("ModifiedOn", "Modified On", Instant, Some(Fact::ModifiedOn)),
    ("VersionNumber", "Version number", BigInt, Some(Fact::Version)),
];

/// Columns that no client may write.
pub(super) const READ_ONLY: &[&str] = &[
    "createdon",
    "modifiedon",
    "createdby",
    "modifiedby",
    "versionnumber",
    "fullname",
    "owninguser",
    "exchangerate",
    "entityimageid",
    "entityimage_url",
    "entityimage_timestamp",
];
