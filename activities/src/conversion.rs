//! How dates and times of a CRM become those of the workflow.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit, TimestampMicrosecondType};
use engine::failure::Failure;
use engine::outside::crm::{FieldKind, ObjectField};
use engine::types::meta;
use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a field's value is taken over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Conversion {
    /// As what it is. A date and time is an instant, shown in the workflow's time zone.
    #[default]
    Default,
    /// The day alone, as it is in the workflow's time zone.
    DateOnly,
    /// The date and time as the CRM writes them, without a time zone.
    WithoutTimeOffset,
    /// The text that the CRM sent, as it is.
    Copy,
}

impl Conversion {
    /// Why it cannot be applied to a field, if it cannot.
    pub fn refuses(self, field: &ObjectField) -> Option<String> {
        let dated = matches!(field.kind, FieldKind::Date | FieldKind::DateTime | FieldKind::LocalDateTime);
        let refused = matches!(self, Self::DateOnly | Self::WithoutTimeOffset) && !dated;
        refused.then(|| format!("{} is not a date, but {}", field.name, field.system_type))
    }

    /// Whether the text that the CRM sent is needed.
    pub fn is_raw(self) -> bool {
        self == Self::Copy
    }

    /// The column that it makes of a field's; instants are shown in the workflow's time zone.
    pub fn column(self, column: &FieldRef, zone: &TimeZone) -> FieldRef {
        let data = match (self, column.data_type()) {
            (Self::DateOnly, DataType::Timestamp(..)) => DataType::Date32,
            (Self::WithoutTimeOffset, DataType::Timestamp(unit, _)) => DataType::Timestamp(*unit, None),
            (_, data) => data.clone(),
        };
        let mut metadata = column.metadata().clone();
        if let (DataType::Timestamp(_, Some(_)), Some(name)) = (&data, zone.iana_name())
            && *zone != TimeZone::UTC
        {
            metadata.insert(meta::TIME_ZONE.to_owned(), name.to_owned());
        }
        Arc::new(Field::new(column.name(), data, true).with_metadata(metadata))
    }

    /// Applies it to a field's values.
    ///
    /// # Errors
    /// Never for the columns of [`Conversion::column`]; a fault of ours is told as one.
    pub fn apply(self, values: &ArrayRef, zone: &TimeZone) -> Result<ArrayRef, Failure> {
        let DataType::Timestamp(TimeUnit::Microsecond, stored) = values.data_type() else {
            return Ok(Arc::clone(values));
        };
        let instants = values.as_primitive::<TimestampMicrosecondType>();
        Ok(match self {
            Self::Default | Self::Copy => Arc::clone(values),
            Self::WithoutTimeOffset => Arc::new(without_zone(instants)),
            Self::DateOnly => Arc::new(match stored {
                Some(_) => days(instants, zone)?,
                None => instants.unary(clock_day),
            }),
        })
    }
}

/// The same clock readings, of which nothing says where.
fn without_zone(instants: &TimestampMicrosecondArray) -> TimestampMicrosecondArray {
    instants.clone().with_timezone_opt(None::<Arc<str>>)
}

fn days(instants: &TimestampMicrosecondArray, zone: &TimeZone) -> Result<Date32Array, Failure> {
    let day = |micros: i64| {
        let instant = Timestamp::from_microsecond(micros).map_err(|error| Failure::internal(error.to_string()))?;
        Ok(day_number(instant.to_zoned(zone.clone()).date()))
    };
    instants.iter().map(|micros| micros.map(day).transpose()).collect()
}

const MICROS_A_DAY: i64 = 86_400_000_000;

/// The day that a clock shows; also the last one, on which there are no instants any more.
fn clock_day(micros: i64) -> i32 {
    // The microseconds of an i64 are of far fewer days than an i32 has.
    micros.div_euclid(MICROS_A_DAY).try_into().unwrap_or_default()
}

/// Days since 1970-01-01, as Arrow counts them.
fn day_number(date: Date) -> i32 {
    let since = date.since(Date::constant(1970, 1, 1)).map(|span| span.get_days());
    // Spans between dates count in days by default, and jiff's dates lie within the range of an i32 of days.
    since.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(instant: &str) -> ArrayRef {
        let micros = instant.parse::<Timestamp>().unwrap().as_microsecond();
        Arc::new(TimestampMicrosecondArray::from(vec![Some(micros), None]).with_timezone("UTC"))
    }

    fn shown(conversion: Conversion, zone: &str) -> String {
        let zone = TimeZone::get(zone).unwrap();
        let converted = conversion.apply(&one("2026-07-01T22:30:00Z"), &zone).unwrap();
        let text = arrow::util::display::array_value_to_string(&converted, 0).unwrap();
        assert!(converted.is_null(1), "null stays null");
        text
    }

    #[test]
    fn half_past_midnight_in_paris_is_the_next_day_there_and_the_evening_before_in_utc() {
        assert_eq!(shown(Conversion::Default, "Europe/Paris"), "2026-07-01T22:30:00Z");
        assert_eq!(shown(Conversion::DateOnly, "Europe/Paris"), "2026-07-02");
        assert_eq!(shown(Conversion::DateOnly, "UTC"), "2026-07-01");
        assert_eq!(shown(Conversion::WithoutTimeOffset, "Europe/Paris"), "2026-07-01T22:30:00");
    }

    #[test]
    fn an_instant_keeps_the_zone_in_which_it_is_shown_and_a_day_needs_none() {
        let column: FieldRef = Arc::new(Field::new("at", one("2026-07-01T22:30:00Z").data_type().clone(), true));
        let zone = |conversion: Conversion, name: &str| {
            let zone = TimeZone::get(name).unwrap();
            conversion.column(&column, &zone).metadata().get(meta::TIME_ZONE).cloned()
        };
        assert_eq!(zone(Conversion::Default, "Europe/Paris").as_deref(), Some("Europe/Paris"));
        assert_eq!(zone(Conversion::Default, "UTC"), None);
        assert_eq!(zone(Conversion::DateOnly, "Europe/Paris"), None);
    }

    #[test]
    fn a_clock_shows_the_last_day_too() {
        let readings: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![253_402_300_799_000_000, -1]));
        let days = Conversion::DateOnly.apply(&readings, &TimeZone::UTC).unwrap();
        let shown = |row| arrow::util::display::array_value_to_string(&days, row).unwrap();
        assert_eq!([shown(0), shown(1)], ["9999-12-31", "1969-12-31"]);
    }
}
