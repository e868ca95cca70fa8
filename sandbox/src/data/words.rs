//! Names, places and words that generated people and companies are made of.

/// One country's people and places.
pub(super) struct Country {
    /// ISO 3166 code.
    pub(super) iso: &'static str,
    /// Start of its telephone numbers.
    pub(super) dial: &'static str,
    /// First names, each with the letters of its mail address.
    pub(super) first: &'static [(&'static str, &'static str)],
    /// Last names, each with the letters of its mail address.
    pub(super) last: &'static [(&'static str, &'static str)],
    /// City, region and start of its postal codes.
    pub(super) cities: &'static [(&'static str, &'static str, &'static str)],
    /// Streets.
    pub(super) streets: &'static [&'static str],
}

/// Mail hosts. Each is reserved for examples (RFC 2606), so that no real person can ever be written to.
pub(super) const MAIL_HOSTS: &[&str] =
    &["example.com", "example.org", "example.net", "mail.example.com", "post.example.org"];

/// Job titles.
pub(super) const JOBS: &[&str] = &[
    "CEO",
    "CFO",
    "CMO",
    "CTO",
    "Head of Marketing",
    "Marketing Manager",
    "Sales Representative",
    "Purchasing Manager",
    "Software Engineer",
    "Data Analyst",
    "Office Manager",
    "Consultant",
    "Teacher",
    "Nurse",
    "Geschäftsführer",
    "Directrice générale",
    "Responsable de ventas",
    "Assistant \"to the\" Manager",
    "R&D Lead",
    "Owner; Partner",
];

/// Departments.
pub(super) const DEPARTMENTS: &[&str] = &[
    "Marketing",
    "Sales",
    "Finance",
    "IT",
    "Human Resources",
    "Logistics",
    "Research",
    "Support",
    "marketing",
    "Board",
];

/// What companies are called, before their legal form.
pub(super) const COMPANIES: &[&str] = &[
    "Northwind",
    "Contoso",
    "Fabrikam",
    "Adventure Works",
    "Blue Yonder",
    "Tailspin",
    "Wide World",
    "Litware",
    "Proseware",
    "Lamna",
    "Müller & Söhne",
    "Café Lumière",
    "O'Hara",
    "Ångström",
    "Zażółć",
    "東京",
    "Ελλάς",
    "Graphic Design",
    "Humongous",
    "Alpine",
    "Coho",
    "Margie's",
    "Trey",
    "Relecloud",
    "VanArsdel",
    "Woodgrove",
];

/// Legal forms.
pub(super) const LEGAL_FORMS: &[&str] =
    &["Ltd", "Inc.", "GmbH", "SARL", "S.L.", "B.V.", "S.p.A.", "AB", "plc", "& Co. KG"];

/// A sentence for long texts; repeated until it is long enough.
pub(super) const SENTENCE: &str = "Met at the fair in Köln; prefers calls after 17:00, “not on Fridays”; see the note of José\nand the file C:\\crm\\notes\t1. ";

/// The countries.
pub(super) const COUNTRIES: &[Country] = &[
    Country {
        iso: "GB",
        dial: "+44 20",
        first: &[
            ("Ada", "ada"),
            ("Alan", "alan"),
            ("Grace", "grace"),
            ("Oliver", "oliver"),
            ("Amelia", "amelia"),
            ("Zoë", "zoe"),
            ("George", "george"),
            ("Isla", "isla"),
        ],
        last: &[
            ("Smith", "smith"),
            ("Jones", "jones"),
            ("Taylor", "taylor"),
            ("Lovelace", "lovelace"),
            ("Fairfax-Hughes", "fairfax-hughes"),
            ("Null", "null"),
            ("MacDonald", "macdonald"),
            ("Wright", "wright"),
        ],
        cities: &[
            ("London", "Greater London", "SW1A "),
            ("Leeds", "West Yorkshire", "LS1 "),
            ("Edinburgh", "Scotland", "EH1 "),
            ("Cardiff", "Wales", "CF10 "),
        ],
        streets: &["High Street", "Station Road", "Church Lane", "King's Parade"],
    },
    Country {
        iso: "US",
        dial: "+1 212",
        first: &[
            ("James", "james"),
            ("Mary", "mary"),
            ("Barbara", "barbara"),
            ("Donald", "donald"),
            ("Max", "max"),
            ("Lin", "lin"),
            ("D'Andre", "dandre"),
            ("Mary Ann", "maryann"),
        ],
        last: &[
            ("Johnson", "johnson"),
            ("Williams", "williams"),
            ("Hopper", "hopper"),
            ("Liskov", "liskov"),
            ("King Jr.", "kingjr"),
            ("García", "garcia"),
            ("Lee", "lee"),
            ("Test", "test"),
        ],
        cities: &[
            ("New York", "NY", "100"),
            ("Chicago", "IL", "606"),
            ("Austin", "TX", "787"),
            ("Seattle", "WA", "981"),
        ],
        streets: &["Main Street", "5th Avenue", "Martin Luther King Jr. Blvd", "Elm St."],
    },
    Country {
        iso: "IE",
        dial: "+353 1",
        first: &[
            ("Seán", "sean"),
            ("Aoife", "aoife"),
            ("Pat", "pat"),
            ("Niamh", "niamh"),
            ("Conor", "conor"),
            ("Sinéad", "sinead"),
        ],
        last: &[
            ("O'Brien", "obrien"),
            ("O'Neill", "oneill"),
            ("Murphy", "murphy"),
            ("Ó Súilleabháin", "osullivan"),
            ("Byrne", "byrne"),
            ("D'Arcy", "darcy"),
        ],
        cities: &[("Dublin", "Leinster", "D0"), ("Cork", "Munster", "T12 "), ("Galway", "Connacht", "H91 ")],
        streets: &["O'Connell Street", "Grafton Street", "St. Stephen's Green"],
    },
    Country {
        iso: "FR",
        dial: "+33 1",
        first: &[
            ("Élodie", "elodie"),
            ("François", "francois"),
            ("Noémie", "noemie"),
            ("Jean-Luc", "jean-luc"),
            ("Zélie", "zelie"),
            ("Loïc", "loic"),
        ],
        last: &[
            ("Lefèvre", "lefevre"),
            ("Dupont", "dupont"),
            ("de La Fontaine", "delafontaine"),
            ("Gauthier", "gauthier"),
            ("L'Hôte", "lhote"),
            ("Nuñez", "nunez"),
        ],
        cities: &[
            ("Paris", "Île-de-France", "750"),
            ("Lyon", "Auvergne-Rhône-Alpes", "690"),
            ("Orléans", "Centre-Val de Loire", "450"),
        ],
        streets: &["rue de la Paix", "avenue de l'Opéra", "place du Général-de-Gaulle"],
    },
    Country {
        iso: "DE",
        dial: "+49 30",
        first: &[
            ("Jürgen", "juergen"),
            ("Käthe", "kaethe"),
            ("Lukas", "lukas"),
            ("Anneliese", "anneliese"),
            ("Günther", "guenther"),
            ("Mia", "mia"),
        ],
        last: &[
            ("Müller", "mueller"),
            ("Weiß", "weiss"),
            ("von der Heide", "vonderheide"),
            ("Schröder", "schroeder"),
            ("Groß-Bölting", "gross-boelting"),
            ("Schmidt", "schmidt"),
        ],
        cities: &[
            ("Berlin", "Berlin", "101"),
            ("München", "Bayern", "803"),
            ("Köln", "Nordrhein-Westfalen", "506"),
            ("Halle (Saale)", "Sachsen-Anhalt", "061"),
        ],
        streets: &["Hauptstraße", "Bahnhofstr.", "Straße des 17. Juni", "Am Markt"],
    },
    Country {
        iso: "ES",
        dial: "+34 91",
        first: &[
            ("José", "jose"),
            ("María José", "mariajose"),
            ("Íñigo", "inigo"),
            ("Begoña", "begona"),
            ("Lucía", "lucia"),
            ("Álvaro", "alvaro"),
        ],
        last: &[
            ("Ñandú", "nandu"),
            ("García Márquez", "garciamarquez"),
            ("Muñoz", "munoz"),
            ("Peña", "pena"),
            ("Fernández", "fernandez"),
            ("Ibáñez", "ibanez"),
        ],
        cities: &[("Madrid", "Madrid", "280"), ("A Coruña", "Galicia", "150"), ("Málaga", "Andalucía", "290")],
        streets: &["Calle Mayor", "Avenida de América", "Plaza de España"],
    },
    Country {
        iso: "IT",
        dial: "+39 06",
        first: &[("Niccolò", "niccolo"), ("Giulia", "giulia"), ("Luca", "luca"), ("Chiara", "chiara")],
        last: &[("D'Angelo", "dangelo"), ("Rossi", "rossi"), ("Dell'Acqua", "dellacqua"), ("Bianchi", "bianchi")],
        cities: &[("Roma", "Lazio", "001"), ("Milano", "Lombardia", "201"), ("Forlì", "Emilia-Romagna", "471")],
        streets: &["via Garibaldi", "corso Vittorio Emanuele II", "piazza del Popolo"],
    },
    Country {
        iso: "NL",
        dial: "+31 20",
        first: &[("Edsger", "edsger"), ("Anouk", "anouk"), ("Daniël", "daniel"), ("Femke", "femke")],
        last: &[
            ("Dijkstra", "dijkstra"),
            ("van den Berg", "vandenberg"),
            ("'t Hooft", "thooft"),
            ("IJsselstein", "ijsselstein"),
        ],
        cities: &[
            ("Amsterdam", "Noord-Holland", "1012 "),
            ("'s-Hertogenbosch", "Noord-Brabant", "5211 "),
            ("IJmuiden", "Noord-Holland", "1971 "),
        ],
        streets: &["Dorpsstraat", "Prinsengracht", "Kerkstraat"],
    },
    Country {
        iso: "PL",
        dial: "+48 22",
        first: &[("Łukasz", "lukasz"), ("Małgorzata", "malgorzata"), ("Żaneta", "zaneta"), ("Piotr", "piotr")],
        last: &[
            ("Wójcik", "wojcik"),
            ("Kowalczyk", "kowalczyk"),
            ("Brzęczyszczykiewicz", "brzeczyszczykiewicz"),
            ("Zieliński", "zielinski"),
        ],
        cities: &[("Warszawa", "mazowieckie", "00-"), ("Łódź", "łódzkie", "90-"), ("Kraków", "małopolskie", "30-")],
        streets: &["ul. Długa", "al. Jerozolimskie", "ul. Świętojańska"],
    },
    Country {
        iso: "JP",
        dial: "+81 3",
        first: &[("太郎", "taro"), ("花子", "hanako"), ("さくら", "sakura"), ("健一", "kenichi")],
        last: &[("佐藤", "sato"), ("鈴木", "suzuki"), ("髙橋", "takahashi"), ("𠮷田", "yoshida")],
        cities: &[("東京", "東京都", "100-"), ("大阪市", "大阪府", "530-"), ("札幌市", "北海道", "060-")],
        streets: &["千代田1丁目", "中央区銀座", "北区梅田"],
    },
    Country {
        iso: "GR",
        dial: "+30 21",
        first: &[("Γιώργος", "giorgos"), ("Ελένη", "eleni"), ("Νίκος", "nikos"), ("Μαρία", "maria")],
        last: &[
            ("Παπαδόπουλος", "papadopoulos"),
            ("Ἀθηναῖος", "athinaios"),
            ("Βασιλείου", "vasileiou"),
            ("Ράπτης", "raptis"),
        ],
        cities: &[("Αθήνα", "Αττική", "105 "), ("Θεσσαλονίκη", "Μακεδονία", "546 ")],
        streets: &["Ερμού", "Πανεπιστημίου", "Τσιμισκή"],
    },
    Country {
        iso: "IL",
        dial: "+972 3",
        first: &[("יוסף", "yosef"), ("מרים", "miriam"), ("נועה", "noa"), ("דוד", "david")],
        last: &[("כהן", "cohen"), ("לוי", "levi"), ("בן־גוריון", "bengurion"), ("مزراحي", "mizrahi")],
        cities: &[("תל אביב-יפו", "תל אביב", "61"), ("ירושלים", "ירושלים", "91")],
        streets: &["רחוב דיזנגוף", "שדרות רוטשילד"],
    },
    Country {
        iso: "EG",
        dial: "+20 2",
        first: &[("محمد", "mohamed"), ("فاطمة", "fatma"), ("أحمد", "ahmed"), ("ليلى", "laila")],
        last: &[("عبد الرحمن", "abdelrahman"), ("السيد", "elsayed"), ("حسن", "hassan"), ("منصور", "mansour")],
        cities: &[("القاهرة", "القاهرة", "11"), ("الإسكندرية", "الإسكندرية", "21")],
        streets: &["شارع التحرير", "شارع النيل"],
    },
    Country {
        iso: "SE",
        dial: "+46 8",
        first: &[("Åsa", "asa"), ("Göran", "goran"), ("Linnéa", "linnea"), ("Björn", "bjorn")],
        last: &[("Ångström", "angstrom"), ("Öberg", "oberg"), ("Svensson", "svensson"), ("Sjögren", "sjogren")],
        cities: &[
            ("Stockholm", "Stockholms län", "111 "),
            ("Malmö", "Skåne län", "211 "),
            ("Åre", "Jämtlands län", "837 "),
        ],
        streets: &["Storgatan", "Kungsgatan", "Åsögatan"],
    },
];
